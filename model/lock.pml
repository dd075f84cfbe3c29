/* A lock whose owner may die (src/sync/ownership.ts, native/include/ringway/lock.hpp), with the event count on which its
   waiters sleep, word for word as in native/include/ringway/event_count.hpp. The turn is left out: it only delays.

   owner    FREE, MARKED (free, and its last owner did not release it), or who owns it
   data     what the lock protects: 1 while somebody is changing it

   Processes are killed (KILLS) or stopped for ever (STOPS) between any two steps: an owner inside, one that has released
   and not yet woken anybody, a recoverer. Whoever is about to sleep asks whether the owner lives, and settles its death under
   a pin, during which nobody takes its place. A newcomer (NEWCOMERS) takes the place of a dead one: it pins, settles, and
   only then lives. A limit is modelled as a sleeper that goes on by itself when looking would show something after a death;
   without one a lost wake-up is for ever.
   Checked: one is inside at a time; whoever finds the data half changed was told so; when nobody can move, no live process
   sleeps while the lock is free, or its owner dead. */
#ifndef N
#define N 2             /* processes: 1..N */
#endif
#ifndef ROUNDS
#define ROUNDS 2        /* how often each takes the lock */
#endif
#ifndef KILLS
#define KILLS 0
#endif
#ifndef STOPS
#define STOPS 0
#endif
#ifndef NEWCOMERS
#define NEWCOMERS 0
#endif
#define FREE 0
#define MARKED 7
#define ISFREE (owner == FREE || owner == MARKED)
#define ALL (N + NEWCOMERS)
byte owner, inside;
bool data;

byte sequence, asleep;  /* grows by 2 in the code and by 1 here; 0, or 1 + the newest sequence slept on */
/* By process: 1..N at first, newcomers above. A newcomer has the participant number, `id`, of one that died. */
bool sleeps[ALL + 1];   /* in the kernel's queue */
bool runs[ALL + 1], isIn[ALL + 1];
byte idOf[ALL + 1], pinned[ALL + 1];
bool alive[N + 1];      /* by participant number */
byte pins[N + 1];
byte kills, stops, newcomers;
bool orphaned;          /* somebody was killed or stopped: only then do limits matter */

inline notify() {
   a = asleep;
   if
   :: a ->
      sequence++;
      d_step {                                              /* FUTEX_WAKE, all */
         z = 1;
         do :: z <= ALL -> sleeps[z] = 0; z++ :: else -> break od;
         z = 0
      }
      atomic { if :: asleep == a -> asleep = 0 :: else fi; a = 0 }
   :: else
   fi
}

inline prepare() {
   s = sequence;
   a = asleep;
   do
   :: atomic { a == 0 || s + 1 > a ->
         if :: asleep == a -> asleep = s + 1; a = 0; break :: else -> a = asleep fi }
   :: atomic { else -> a = 0; break }
   od
}

#ifndef BREAK_MARK
#define LEFT MARKED
#else
#define LEFT FREE
#endif

/* abandonLock(): a load, then a compare-exchange. */
inline abandon(id) {
   if
   :: owner == id ->
#ifdef BREAK_COMPARE
      owner = LEFT;
      notify()
#else
      atomic { if :: owner == id -> owner = LEFT; s = 1 :: else -> s = 0 fi };
      if :: atomic { s -> s = 0 }; notify() :: else fi
#endif
   :: else
   fi
}

inline settle(id) {
   if
#ifndef BREAK_PIN
   :: atomic { !alive[id] -> pins[id]++; pinned[this] = id };
      abandon(id);
      atomic { pins[id]--; pinned[this] = 0 }
#else
   :: !alive[id] -> abandon(id)
#endif
   :: else
   fi
}

proctype process(byte this, me) provided (runs[this]) {
   byte k, w, s, a, z;
   do
   :: k < ROUNDS ->
      w = owner;
      if
      :: w == FREE || w == MARKED ->
         atomic {
            if
            :: owner == w -> owner = me;
               assert(w == MARKED || !data)                 /* or else it would have been told */
            :: else -> w = 255
            fi };
         if
         :: w != 255 ->
            atomic { w = 0; inside++; isIn[this] = 1; assert(inside == 1); data = 1 };
            atomic { data = 0; inside--; isIn[this] = 0 };
            atomic { assert(owner == me); owner = FREE };   /* release() */
#ifndef BREAK_NOTIFY
            notify();
#endif
            k++
         :: else -> w = 0
         fi
      :: else ->                                            /* before each sleep: who owns it, does that one live? */
         settle(w);
         w = 0;
         prepare();
         if
         :: ISFREE -> s = 0
         :: else ->
            atomic { if :: sequence == s -> sleeps[this] = 1 :: else fi; s = 0 };   /* FUTEX_WAIT */
            atomic { !sleeps[this] || orphaned && (ISFREE || !alive[owner]) -> sleeps[this] = 0 }
         fi
      fi
   :: else -> break
   od
}

/* Takes the place of somebody who is dead: joinPresence(). */
proctype newcomer(byte this, id) {
   byte s, a, z;
   atomic { !alive[id] -> pins[id]++ };
   abandon(id);
   atomic { pins[id] == 1 -> pins[id] = 0; alive[id] = 1; idOf[this] = id; runs[this] = 1; run process(this, id) }
}

init {
   byte v;
   atomic {
      v = 1;
      do :: v <= N -> alive[v] = 1; idOf[v] = v; runs[v] = 1; run process(v, v); v++ :: else -> break od;
      v = 0
   }
   do
   :: atomic { kills < KILLS || stops < STOPS ->
         if :: v = 1 :: v = 2 :: ALL > 2 -> v = 3 :: ALL > 3 -> v = 4 fi;
         if
         :: runs[v] && kills < KILLS ->
            kills++; alive[idOf[v]] = 0;
            if :: pinned[v] -> pins[pinned[v]]--; pinned[v] = 0 :: else fi;   /* the kernel lets go of its pin */
            if :: isIn[v] -> inside--; isIn[v] = 0 :: else fi;
            if :: newcomers < NEWCOMERS -> newcomers++; run newcomer(N + newcomers, idOf[v]) :: else fi
         :: runs[v] && stops < STOPS -> stops++
         :: else
         fi;
         runs[v] = 0; sleeps[v] = 0; orphaned = 1; v = 0 }
   :: break
   od;
   timeout -> atomic {
      v = 1;
      do :: v <= ALL -> assert(!(runs[v] && sleeps[v] && (ISFREE || !alive[owner]))); v++ :: else -> break od
   }
}
