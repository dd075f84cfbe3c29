// Runs the tests in a child process and looks after it: prints the seed, ends a test that hangs and says which one, and
// removes the scratch folder however the tests end. From outside, because a thread that sleeps in the kernel cannot
// time itself out under every sanitizer, and a crashed process cannot clean up.
//   RINGWAY_SEED=n              the seed of all random choices
//   RINGWAY_TEST_WATCHDOG_S=n   how long one test case may take; 0: for ever (for debuggers)
#define DOCTEST_CONFIG_IMPLEMENT
#define DOCTEST_CONFIG_NO_POSIX_SIGNALS  // Forked children would inherit the handlers; the parent reports a crash.
#include <doctest/doctest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>

#include <cstddef>
#include <filesystem>
#include <random>

#include "support.hpp"

namespace {

int reportTo = -1;  // The pipe to the parent, which hears the name of every test case.
volatile pid_t tests = -1;

struct TellParent : doctest::IReporter {
  explicit TellParent(const doctest::ContextOptions&) {}
  void test_case_start(const doctest::TestCaseData& test) override {
    const std::string line = std::string(test.m_name) + "\n";
    if (reportTo >= 0 && write(reportTo, line.data(), line.size()) < 0) std::perror("watchdog pipe");
  }
  void test_case_reenter(const doctest::TestCaseData&) override {}
  void test_case_end(const doctest::CurrentTestCaseStats&) override {}
  void report_query(const doctest::QueryData&) override {}
  void test_run_start() override {}
  void test_run_end(const doctest::TestRunStats&) override {}
  void test_case_exception(const doctest::TestCaseException&) override {}
  void subcase_start(const doctest::SubcaseSignature&) override {}
  void subcase_end() override {}
  void log_assert(const doctest::AssertData&) override {}
  void log_message(const doctest::MessageData&) override {}
  void test_case_skipped(const doctest::TestCaseData&) override {}
};
REGISTER_LISTENER("tell-parent", 1, TellParent);

// Makes this kernel look like one from before Linux 5.16: futex_waitv is not there.
bool forbidFutexWaitAny() {
  sock_filter program[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_futex_waitv, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog filter{.len = 4, .filter = program};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

int runTests(int argc, char** argv) {
  if (std::getenv("RINGWAY_TEST_NO_FUTEX_WAITV") != nullptr && !forbidFutexWaitAny()) {
    std::fprintf(stderr, "seccomp is not available\n");
    return 77;
  }
  return doctest::Context(argc, argv).run();
}

// Waits for the end of the tests, or for `limitMs` without a new test case.
int superviseTests(int reports, int limitMs) {
  std::string name = "no test case", line;
  pollfd ready{reports, POLLIN, 0};
  for (;;) {
    const int polled = poll(&ready, 1, limitMs);
    if (polled < 0 && errno == EINTR) continue;
    if (polled == 0) {
      std::fprintf(stderr, "\nwatchdog: \"%s\" has not ended after %d s\n", name.c_str(), limitMs / 1000);
      kill(tests, SIGKILL);  // Its own children are set to die with it.
      break;
    }
    char text[256];
    const ssize_t got = read(reports, text, sizeof text);
    if (got <= 0) break;
    for (ssize_t i = 0; i < got; ++i) {
      if (text[i] == '\n') {
        name = std::exchange(line, {});
      } else {
        line += text[i];
      }
    }
  }
  int status = 0;
  while (waitpid(tests, &status, 0) < 0 && errno == EINTR) continue;
  if (WIFSIGNALED(status)) {
    std::fprintf(stderr, "the tests were ended by signal %d in \"%s\"\n", WTERMSIG(status), name.c_str());
    return 1;
  }
  return WEXITSTATUS(status);
}

}  // namespace

int main(int argc, char** argv) {
  // A test that starts this program again stays inside the folder and the watchdog of the first.
  if (std::getenv(support::kScratchVariable) != nullptr) return runTests(argc, argv);

  if (std::getenv("RINGWAY_SEED") == nullptr) {
    setenv("RINGWAY_SEED", std::to_string(std::random_device{}()).c_str(), 1);
  }
  std::printf("RINGWAY_SEED=%s\n", std::getenv("RINGWAY_SEED"));
  std::fflush(stdout);
  char folder[] = "/dev/shm/ringway-core-tests-XXXXXX";
  if (mkdtemp(folder) == nullptr) {
    std::perror(folder);
    return 1;
  }
  setenv(support::kScratchVariable, folder, 1);
  int reports[2];
  if (pipe2(reports, O_CLOEXEC) != 0) return 1;
  tests = fork();
  if (tests == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    close(reports[0]);
    reportTo = reports[1];
    return runTests(argc, argv);
  }
  close(reports[1]);
  // We stay to clean up. A terminal sends its SIGINT to the tests as well.
  std::signal(SIGINT, SIG_IGN);
  std::signal(SIGTERM, [](int) { kill(tests, SIGKILL); });
  const char* limit = std::getenv("RINGWAY_TEST_WATCHDOG_S");
  const int limitS = limit != nullptr ? std::atoi(limit) : 60;
  const int code = superviseTests(reports[0], limitS > 0 ? limitS * 1000 : -1);
  std::error_code ignored;
  std::filesystem::remove_all(folder, ignored);
  return code;
}
