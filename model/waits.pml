/* How consumers of the many-to-many ring sleep (docs/MPMC.md, "Waiting"): two event counts, word for word as in
   native/include/ringway/event_count.hpp. The order queue is left out: a READY slot can be taken.

   quiet    slept on without a limit, after every slot was seen FREE, one by one; woken by producers between S1 and S3
   filled   slept on with a limit; woken after Q1, which is S3 here

   Processes are killed (KILLS) or stopped for ever (STOPS) between any two steps: a producer before it wakes anybody, a sleeper
   that was woken before it looks. A limit is modelled as a sleeper that goes on by itself when looking would show something.
   Checked when nobody can move: no live consumer sleeps while a message can be taken or recovered. */
#ifndef NP
#define NP 2            /* producers: 1..NP */
#endif
#ifndef NC
#define NC 2
#endif
#ifndef NMSG
#define NMSG 1          /* messages of each producer */
#endif
#ifndef KILLS
#define KILLS 0
#endif
#ifndef STOPS
#define STOPS 0
#endif
#ifndef HOLDS
#define HOLDS 0         /* leases that a live consumer holds for ever */
#endif
#define NPROC (NP + NC)
#define FREE 0
#define WRITING 1
#define READY 2
#define READING 3
byte phase[2], owner[2];

/* An event count; 0 is quiet, 1 is filled. The sequence grows by 2 in the code and by 1 here; `asleep` is 0, or 1 + the
   newest sequence slept on. Sequences do not wrap here. */
byte sequence[2], asleep[2];
bool sleeps[16];        /* [2 * process + event count]: in the kernel's queue */
bool alive[NPROC + 1], runs[NPROC + 1];
byte kills, stops, holds;

#define LOST(i) ((phase[i] == WRITING || phase[i] == READING) && !alive[owner[i]])
#define WORK(i) (phase[i] == READY || phase[i] == READING && !alive[owner[i]])
#define ANYWORK (WORK(0) || WORK(1))

inline notify(e) {
   a = asleep[e];
   if
   :: a ->
      sequence[e]++;
      d_step {                                              /* FUTEX_WAKE, all */
         z = 1;
         do :: z <= NPROC -> sleeps[2 * z + e] = 0; z++ :: else -> break od;
         z = 0
      }
      atomic { if :: asleep[e] == a -> asleep[e] = 0 :: else fi; a = 0 }
   :: else
   fi
}

inline prepare(e) {
   s = sequence[e];
   a = asleep[e];
   do
   :: atomic { a == 0 || s + 1 > a ->
         if :: asleep[e] == a -> asleep[e] = s + 1; a = 0; break :: else -> a = asleep[e] fi }
   :: atomic { else -> a = 0; break }
   od
}

/* FUTEX_WAIT compares and falls asleep in one step. */
#define FALL(e) if :: sequence[e] == s -> sleeps[2 * me + e] = 1 :: else fi; s = 0

proctype producer(byte me) provided (runs[me]) {
   byte k, i, a, z;
   do
   :: k < NMSG ->
      atomic {                                              /* S1 */
         if
         :: phase[0] == FREE -> i = 0
         :: phase[1] == FREE -> i = 1
         :: (phase[0] != FREE) && (phase[1] != FREE) && LOST(0) && phase[0] == WRITING -> i = 0    /* S7 */
         :: (phase[0] != FREE) && (phase[1] != FREE) && LOST(1) && phase[1] == WRITING -> i = 1
         fi;
         phase[i] = WRITING; owner[i] = me };
#ifndef BREAK_EARLY
      notify(0);
#endif
      atomic { phase[i] = READY; owner[i] = 0; i = 0; k++ };  /* S3, Q1 */
#ifdef BREAK_EARLY
      notify(0);
#endif
      notify(1)
   :: else -> break
   od
}

proctype consumer(byte me) provided (runs[me]) {
   byte i, s, a;
   bool all;
   do
   :: if
      :: atomic { phase[0] == READY -> phase[0] = READING; owner[0] = me; i = 0; all = 1 }     /* S4 */
      :: atomic { phase[1] == READY -> phase[1] = READING; owner[1] = me; i = 1; all = 1 }
      :: atomic { phase[0] != READY && LOST(0) -> if :: phase[0] == READING -> phase[0] = READY :: else -> phase[0] = FREE fi; owner[0] = 0 }   /* S7, S8 */
      :: atomic { phase[1] != READY && LOST(1) -> if :: phase[1] == READING -> phase[1] = READY :: else -> phase[1] = FREE fi; owner[1] = 0 }
      :: atomic { else -> all = 0 };                        /* nothing was there at this moment */
         prepare(1);
         if
         :: ANYWORK -> s = 0
         :: else ->
            all = phase[0] == FREE;                         /* the scan, slot by slot */
            all = all && phase[1] == FREE;
            if
            :: atomic { all -> all = 0; s = 0 };
               prepare(0);
#ifndef BREAK_SCAN
               all = phase[0] == FREE;
               all = all && phase[1] == FREE;
#else
               all = 1;
#endif
               if
               :: atomic { all -> all = 0; FALL(0) };
                  !sleeps[2 * me]
               :: atomic { else -> s = 0 }
               fi
            :: atomic { else -> FALL(1) };
               atomic { (!sleeps[2 * me + 1] || ANYWORK || (phase[0] == FREE && phase[1] == FREE)) -> sleeps[2 * me + 1] = 0 }
            fi
         fi;
         goto again
      fi;
      if
      :: all ->
         if
         :: holds < HOLDS -> holds++; end_hold: false
         :: atomic { phase[i] = FREE; owner[i] = 0; i = 0; all = 0 }                           /* S5 */
         fi
      :: else
      fi;
again: skip
   od
}

init {
   byte v;
   atomic {
      v = 1;
      do
      :: v <= NP -> alive[v] = 1; runs[v] = 1; run producer(v); v++
      :: v > NP && v <= NPROC -> alive[v] = 1; runs[v] = 1; run consumer(v); v++
      :: v > NPROC -> break
      od;
      v = 0
   }
   do
   :: atomic { kills < KILLS || stops < STOPS ->
         if :: v = 1 :: v = 2 :: NPROC > 2 -> v = 3 :: NPROC > 3 -> v = 4 fi;
         if
         :: kills < KILLS -> kills++; if :: runs[v] -> alive[v] = 0 :: else fi
         :: stops < STOPS -> stops++
         fi;
         runs[v] = 0; sleeps[2 * v] = 0; sleeps[2 * v + 1] = 0; v = 0 }
   :: break
   od;
   timeout -> atomic {
      v = NP + 1;
      do :: v <= NPROC -> assert(!(runs[v] && (sleeps[2 * v] || sleeps[2 * v + 1]) && ANYWORK)); v++ :: else -> break od
   }
}
