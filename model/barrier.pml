/* The generations of a barrier: src/sync/generations.ts. Callers arrive, again and again; each may give up, and whoever
 * finds the barrier broken, as well as a resetter at any time, resets it. One that is stopped is one that is not scheduled;
 * a recoverer does for the dead what giving up does. Sleeping and waking are in waits.pml.
 *
 *   PARTIES, NC callers of WAITS waits each, RESETS calls of reset() by others, KEPT broken generations remembered
 *   BREAK_REREAD   arrive() does not look at the state again between loading a word and replacing it
 *   BREAK_RECORD   reset() does not write down that the generation was broken
 *   BREAK_RECHECK  reset() writes it without having looked at the state again
 *
 * What must hold: no arrival of the generation at hand is ever replaced; a generation is completed only when all are there;
 * everybody is told what came of its own generation.
 */
#ifndef PARTIES
#define PARTIES 2
#endif
#ifndef NC
#define NC 3
#endif
#ifndef WAITS
#define WAITS 2
#endif
#ifndef RESETS
#define RESETS 1
#endif
#ifndef KEPT
#define KEPT 2
#endif
#define MOST 24                /* generations that a run can reach */
#define GENERATION(s) ((s) / 2)
#define BROKEN(s) ((s) % 2)

byte state = 2;                /* generation 1, open */
byte arrivals[PARTIES];        /* the generation; who it is matters to nobody here */
byte broken[KEPT];             /* odd states, or 0 */

/* What happened, which nobody of the protocol sees. */
byte here[MOST];               /* how many have arrived */
byte ended[MOST];              /* 1: completed, 2: broken */

/* All atomic operations are one step each. */
inline breakOpen(s) {
  atomic {
    if
    :: state == s -> state = s + 1; ended[GENERATION(s)] = 2
    :: else
    fi
  }
}

inline reset(s, before, g) {
  atomic { s = state; g = GENERATION(s) }
  if
  :: !BROKEN(s) ->
    if
    :: atomic { arrivals[0] != g -> s = 0; g = 0; goto wasReset }      /* Nobody is there: the words are a prefix. */
    :: else
    fi;
    breakOpen(s);
    atomic {
      s = state;
      if
      :: GENERATION(s) != g || !BROKEN(s) -> s = 0; g = 0; goto wasReset
      :: else
      fi
    }
  :: else
  fi;
  before = broken[g % KEPT];
#ifndef BREAK_RECHECK
  if
  :: atomic { state != s -> s = 0; before = 0; g = 0; goto wasReset }
  :: else
  fi;
#endif
#ifndef BREAK_RECORD
  atomic {
    if
    :: broken[g % KEPT] == before -> broken[g % KEPT] = s
    :: else
    fi
  }
#endif
  atomic {
    if
    :: state == s -> state = s + 1
    :: else
    fi;
    s = 0; before = 0; g = 0
  }
wasReset:
  skip
}

proctype Caller() {
  byte waits, s, g, i, found, before;
again:
  atomic {
    s = 0; g = 0; i = 0; found = 0; before = 0;
    if
    :: waits == WAITS -> goto done
    :: else -> waits++
    fi
  }
arrive:
  atomic {
    s = state;
    g = GENERATION(s);
    i = 0;
    if
    :: BROKEN(s) -> goto told
    :: else
    fi
  }
  do
  :: atomic { i < PARTIES && arrivals[i] == g -> i++ }
  :: atomic { i < PARTIES && arrivals[i] != g -> break }
  :: atomic { i == PARTIES ->
       state != s;                            /* The last one has yet to let them go. */
       goto arrive
     }
  od;
  atomic {
    found = arrivals[i];
    if
    :: found == g -> found = 0; goto arrive
    :: else
    fi
  }
#ifndef BREAK_REREAD
  if
  :: atomic { state != s -> found = 0; goto arrive }
  :: else
  fi;
#endif
  atomic {
    if
    :: arrivals[i] == found ->
      assert(found != GENERATION(state));     /* Else somebody's arrival would be lost. */
      arrivals[i] = g;
      here[g]++;
      found = 0
    :: else -> found = 0; goto arrive
    fi
  }
  if
  :: i == PARTIES - 1 ->
    atomic {
      if
      :: state == s ->
        assert(here[g] == PARTIES);
        state = s + 2;
        ended[g] = 1
      :: else
      fi
    }
  :: else ->
    if
    :: state != s
    :: breakOpen(s)                           /* It gives up, or is found dead. */
    fi
  fi;
  atomic {
    i = 0;
    s = state;
    if
    :: s == 2 * g + 1 -> assert(ended[g] == 2); goto told
    :: else
    fi
  }
  atomic {
    before = broken[g % KEPT];
    if
    :: BROKEN(before) && GENERATION(before) == g -> assert(ended[g] == 2)
    :: BROKEN(before) && GENERATION(before) > g  -> skip   /* Nobody knows: it is told that it was broken. */
    :: else -> assert(ended[g] == 1)
    fi
  }
  goto again;
told:
  reset(s, before, g);
  goto again;
done:
  skip
}

proctype Resetter() {
  byte s, g, before;
  reset(s, before, g)
}

init {
  byte n;
  atomic {
    do
    :: n < NC -> run Caller(); n++
    :: n >= NC && n < NC + RESETS -> run Resetter(); n++
    :: n == NC + RESETS -> break
    od
  }
}
