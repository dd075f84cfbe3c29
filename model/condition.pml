/* The notices of a condition: src/sync/notices.ts, native/include/ringway/condition.hpp. Waiters 1..NW begin a wait, may
   give it up, and take their notice when they have the lock again; a notifier gives NOTICES notices, once. Processes are
   killed between any two steps. The lock and the event counts are those of lock.pml and waits.pml: here, a lock comes free
   when its owner dies, and a sleeper goes on when its row or `left` is another one than it saw.

   NW waiters, NOTICES given at once, GIVEUPS waits that may be given up, KILLS
   BREAK_LEAVE   who gives up does not pass its notice on
   BREAK_KEEP    the notices of the dead go with their waits
   BREAK_LOOK    nobody asks whether those who have notices live
   BREAK_TELL    nobody is told that notices were left
   BREAK_ORDER   a notice is taken from where it was left before it is given

   Checked: a notice is dropped only when nobody that lives waits; when nobody can move, no process that lives waits while a
   notice has been lost; none is made up, but by one that is killed while it passes on. */
#ifndef NW
#define NW 2
#endif
#ifndef NOTICES
#define NOTICES 1
#endif
#ifndef GIVEUPS
#define GIVEUPS 0
#endif
#ifndef KILLS
#define KILLS 0
#endif
#define ALL (NW + 1)           /* the notifier is the last one; it never waits */

byte owner;
byte waits[ALL + 1], notices[ALL + 1];
byte left;
bool alive[ALL + 1], inWait[ALL + 1];
byte kills, giveUps;

/* What happened, which nobody of the protocol sees. */
byte given, taken, dropped;

#define LEFT(r) (notices[r] > waits[r])
#define DEAD(r) (!alive[r] && notices[r] > 0 && !LEFT(r))   /* and nobody has noticed */

inline lock() { atomic { owner == 0 || !alive[owner] -> owner = me } }
inline unlock() { atomic { owner = 0 } }

inline tell() {
#ifndef BREAK_TELL
   left++
#else
   skip
#endif
}

/* leaveNotices(), under a pin: the process is dead, and stays so. */
inline settle(r) {
   atomic {
      waits[r] = 0;
#ifdef BREAK_KEEP
      notices[r] = 0
#endif
   };
   if
   :: notices[r] > 0 -> tell()
   :: else
   fi
}

/* Gives one notice to a row that has waits without; `to` is that row, or 0. */
inline giveOne() {
   to = 1;
   do
   :: to > NW -> to = 0; break
   :: to <= NW && waits[to] <= notices[to] -> to++
   :: to <= NW && waits[to] > notices[to] && !alive[to] -> settle(to); to++
   :: atomic { to <= NW && waits[to] > notices[to] && alive[to] -> notices[to]++; break }
   od
}

inline passOn() {
   r = 1;
   do
   :: r > NW -> break
   :: r <= NW && !LEFT(r) -> r++
   :: r <= NW && LEFT(r) ->
#ifdef BREAK_ORDER
      notices[r]--;
      giveOne();
      if :: to == 0 -> dropped++ :: else fi;
#else
      giveOne();
      if
      :: to != 0 -> notices[r]--
      :: else -> atomic {
            /* Compare and exchange, with what it was. */
            x = 1;
            do
            :: x <= NW -> assert(!(alive[x] && waits[x] > notices[x])); x++
            :: else -> break
            od;
            x = 0;
            dropped = dropped + notices[r] - waits[r];
            notices[r] = waits[r] }
      fi;
#endif
      to = 0
   od;
   r = 0
}

proctype waiter(byte me) provided (alive[me]) {
   byte r, to, x, seen;
   bool gaveUp, claimed;
   lock();
   passOn();
   atomic { waits[me]++; inWait[me] = 1 };
again:
   unlock();
   gaveUp = 0; claimed = 0;
   do
   :: atomic { notices[me] > 0 -> claimed = 1; break }
   :: atomic { left != seen -> seen = left };
      r = 1;
      do
      :: r > NW -> break
      :: r <= NW && LEFT(r) -> break
      :: r <= NW && !LEFT(r) -> r++
      od;
      if :: r <= NW -> r = 0; break :: else -> r = 0 fi
   :: atomic { giveUps < GIVEUPS -> giveUps++; gaveUp = 1; break }
#ifndef BREAK_LOOK
   /* Before each sleep. */
   :: atomic { kills > 0 -> r = 1 };
      do
      :: r > NW -> break
      :: r <= NW && LEFT(r) ->
         if :: left == seen -> tell() :: else fi;
         break
      :: r <= NW && DEAD(r) -> settle(r); break
      :: r <= NW && !LEFT(r) && !DEAD(r) -> r++
      od;
      r = 0;
      /* It sleeps until there is something to see. */
      if
      :: notices[me] > 0
      :: left != seen
#ifndef BREAK_TELL
      :: LEFT(1) || NW > 1 && LEFT(2) || NW > 2 && LEFT(3)
#endif
      :: DEAD(1) || NW > 1 && DEAD(2) || NW > 2 && DEAD(3)
      :: atomic { giveUps < GIVEUPS -> giveUps++; gaveUp = 1 }; break
      fi
#endif
   od;
   lock();
   if
   :: claimed -> atomic { waits[me]--; notices[me]--; taken++; inWait[me] = 0 }
   :: !claimed && gaveUp ->
      atomic { waits[me]--; inWait[me] = 0 };
#ifndef BREAK_LEAVE
      passOn()
#endif
   :: !claimed && !gaveUp ->
      passOn();
      if
      :: atomic { notices[me] > 0 -> waits[me]--; notices[me]--; taken++; inWait[me] = 0 }
      :: else -> goto again
      fi
   fi;
   unlock()
}

proctype notifier(byte me) provided (alive[me]) {
   byte r, to, x, n;
   lock();
   passOn();
   do
   :: n < NOTICES ->
      /* giveOne(), counted in the same step. */
      to = 1;
      do
      :: to > NW -> break
      :: to <= NW && waits[to] <= notices[to] -> to++
      :: to <= NW && waits[to] > notices[to] && !alive[to] -> settle(to); to++
      :: atomic { to <= NW && waits[to] > notices[to] && alive[to] -> notices[to]++; given++; break }
      od;
      n++
   :: else -> break
   od;
   unlock()
}

init {
   byte v;
   atomic {
      v = 1;
      do :: v <= ALL -> alive[v] = 1; v++ :: else -> break od;
      v = 1;
      do :: v <= NW -> run waiter(v); v++ :: else -> break od;
      run notifier(ALL);
      v = 0
   }
   do
   :: atomic { kills < KILLS ->
         if :: v = 1 :: NW > 1 -> v = 2 :: NW > 2 -> v = 3 :: v = ALL fi;
         if
         :: alive[v] -> kills++; alive[v] = 0; inWait[v] = 0
         :: else
         fi;
         v = 0 }
   :: break
   od;
   timeout -> atomic {
      v = 1;
      do
      /* Somebody waits for ever: then every notice was taken by somebody, or there was nobody for it. */
      :: v <= NW -> assert(!(alive[v] && inWait[v] && taken + dropped < given)); v++
      :: else -> break
      od;
      assert(taken + dropped <= given + kills)
   }
}
