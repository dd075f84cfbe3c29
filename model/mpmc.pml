/* The many-to-many ring of docs/MPMC.md: every step on shared words is one transition, named S1..S9, Q1..Q5 as there.

   Any process may be killed (KILLS) or stopped for ever (STOPS) between any two steps. A kill drops the victim's lock on its
   id and its pin; a stop keeps both. Consumers may nack (NACKS) or hold a lease for ever (HOLDS), producers may abort
   (ABORTS). A newcomer (NEWCOMERS) takes over the id of a process that died. Waiting is ideal here: who has nothing to do
   goes on exactly when looking again would show something; waits.pml has the sleeping.

   Hints, the shared ones and what a process remembers of its own, say where to look first. They never lead, and may lag. So
   there are none here: each look begins at any of the LAG + 1 last positions, however one would have come to it.

   Checked: what the assertions say, and at quiescence (nobody can move) what `settled` says. WRAP is for numbers that come
   back while a process sleeps: order is not checked then; MAYREMAIN: nor that no message is left in its slot. BREAK_... leaves
   out one rule. Two things are one transition here though not in the code: a message's bytes go with S3 and S4, and S1's load
   with its CAS.
   Memory is sequentially consistent. scripts/model.mjs runs the configurations. */
#ifndef SLOTS
#define SLOTS 2
#endif
#ifndef CELLS
#define CELLS (2 * SLOTS)
#endif
#ifndef LAPS
#define LAPS 8          /* laps wrap here; more positions than a configuration uses, unless wrapping is the subject */
#endif
#ifndef VERSIONS
#define VERSIONS 8      /* likewise */
#endif
#ifndef NP
#define NP 1            /* producers: processes and ids 1..NP */
#endif
#ifndef NC
#define NC 2            /* consumers: NP+1..NP+NC */
#endif
#ifndef NEWCOMERS
#define NEWCOMERS 0     /* consumers that take over the id NEWID when it is free */
#endif
#ifndef NEWID
#define NEWID (NP + 1)
#endif
#ifndef NMSG
#define NMSG 2          /* messages of each producer */
#endif
#ifndef N1
#define N1 NMSG         /* messages of producer 1, at most NMSG */
#endif
#ifndef KILLS
#define KILLS 0
#endif
#ifndef STOPS
#define STOPS 0
#endif
#ifndef NACKS
#define NACKS 0
#endif
#ifndef HOLDS
#define HOLDS 0
#endif
#ifndef ABORTS
#define ABORTS 0
#endif
#ifndef LAG
#define LAG 1
#endif
#define NPROC (NP + NC + NEWCOMERS)

/* A slot's state word. Owner 0 is nobody. */
#define FREE 0
#define WRITING 1
#define READY 2
#define READING 3
#define WORD(phase, owner, again, version) ((phase) | ((owner) << 2) | ((again) << 5) | ((version) << 6))
#define PHASE(w) ((w) & 3)
#define OWNER(w) (((w) >> 2) & 7)
#define AGAIN(w) (((w) >> 5) & 1)
#define VERSION(w) ((w) >> 6)
#ifdef BREAK_VERSION
#define NEXT(w) 0
#else
#define NEXT(w) ((VERSION(w) + 1) % VERSIONS)
#endif

/* An order cell: its lap, and 0 or a slot's index + 1. */
#define POSITIONS (LAPS * CELLS)
#define AFTER(p) (((p) + 1) % POSITIONS)
#define BEFORE(p, n) (((p) + POSITIONS - (n)) % POSITIONS)
#define LAP(p) ((p) / CELLS)
#define EMPTY(lap) ((lap) * (SLOTS + 1))
#define FULL(lap, i) ((lap) * (SLOTS + 1) + (i) + 1)
#define LAPOF(x) ((x) / (SLOTS + 1))
#define SLOTOF(x) ((x) % (SLOTS + 1) - 1)
#define LATER(x, p) ((LAPOF(x) - LAP(p) + LAPS) % LAPS > 0 && (LAPOF(x) - LAP(p) + LAPS) % LAPS < LAPS / 2)
#define LEADS(x, p) (!LATER(x, p) && LAPOF(x) != LAP(p))
#define FULLAT(x, p) (LAPOF(x) == LAP(p) && x != EMPTY(LAP(p)))

short state[SLOTS];
byte position[SLOTS];   /* plain; written by the owner of a READY slot that is not queued */
byte cell[CELLS];
byte filled, emptied;   /* how far the queue is, which no process knows */

bool alive[8];          /* the lock on an id is held */
byte pins[8];           /* shared locks of recoverers on an id */
byte pinned[NPROC + 1]; /* the id a process pins */
byte idOf[NPROC + 1];   /* the id whose lock a process holds */
bool gone[NPROC + 1];   /* killed or stopped */
bool halted[8];        /* the process that holds the lock on an id is stopped for ever */

/* What only the checks know. */
#define MESSAGES (NP * NMSG)
byte payload[SLOTS];
bool made[MESSAGES + 1], acked[MESSAGES + 1], mayRepeat[MESSAGES + 1];
byte lastFirst[NP + 1]; /* the newest message of a producer that was delivered for the first time */
bool holding[NPROC + 1], finished[NPROC + 1];
byte kills, stops, nacks, holds, aborts;

#if SLOTS == 1
#define SOMEFREE (PHASE(state[0]) == FREE)
#define NAMES(d) (OWNER(state[0]) == d)
#else
#define SOMEFREE (PHASE(state[0]) == FREE || PHASE(state[1]) == FREE)
#define NAMES(d) (OWNER(state[0]) == d || OWNER(state[1]) == d)
#endif
#define DEAD(d) (!alive[d] && NAMES(d))
#define SOMEDEAD (DEAD(1) || DEAD(2) || DEAD(3) || DEAD(4) || DEAD(5))

/* Where to begin: the first position that is not done yet, or one that lags. Sets P. */
inline begin(done) {
   if
   :: P = done
   :: P = BEFORE(done, 1)
#if LAG > 1
   :: P = BEFORE(done, 2)
#endif
#ifdef BREAK_LEAD
   :: P = AFTER(done)
#endif
   fi
}

/* Q4: cell(P) becomes EMPTY of the next lap, unless it is x no more. In the order of the positions. Uses P, x. */
inline emptyCell() {
   if
   :: cell[P % CELLS] == x -> cell[P % CELLS] = EMPTY((LAP(P) + 1) % LAPS);
#ifndef WRAP
      assert(P == emptied);
#endif
      do :: LATER(cell[emptied % CELLS], emptied) -> emptied = AFTER(emptied) :: else -> break od
   :: else
   fi
}

/* Q1 with Q2: slot i is READY(id) and the caller alone may queue it. Uses P, x. */
inline queue(i) {
   do
   :: begin(filled);
      x = cell[P % CELLS];
      if
      :: atomic { x == EMPTY(LAP(P)) -> position[i] = P };
         atomic {                                                /* Q1: the commit */
            if
            :: cell[P % CELLS] == x -> cell[P % CELLS] = FULL(LAP(P), i);
#ifndef WRAP
               assert(P == filled);
#endif
               do :: LATER(cell[filled % CELLS], filled) || FULLAT(cell[filled % CELLS], filled) -> filled = AFTER(filled)
                  :: else -> break od;
               x = 0; P = 0; break
            :: else -> x = 0; P = 0
            fi }
      :: atomic { FULLAT(x, P) || LATER(x, P) -> x = 0; P = 0 }  /* Q2 */
#ifdef WRAP
      :: atomic { LEADS(x, P) && (filled != P || cell[P % CELLS] != x) -> x = 0; P = 0 }
#else
      :: atomic { LEADS(x, P) -> assert(false) }                        /* the order queue is never full, the hint never leads */
#endif
      fi
   od
}

/* S7, S8, S9 for every slot that names d; the caller pins d, or d is its own id from an earlier life. Uses j, P, x, w. */
inline settle(d) {
   do
   :: j < SLOTS ->
      P = position[j];      /* before the word: d is dead, so if the word names it, the position stood still */
      x = cell[P % CELLS];
      w = state[j];
      if
      :: atomic { OWNER(w) == d && PHASE(w) == WRITING ->        /* S7 */
            if :: state[j] == w -> state[j] = WORD(FREE, 0, 0, NEXT(w)) :: else fi; w = 0; P = 0; x = 0; j++ }
      :: atomic { OWNER(w) == d && PHASE(w) == READING ->        /* S8: first the cell, if it still names the slot (Q4) */
#ifndef BREAK_NAMED_TWICE
            if :: x == FULL(LAP(P), j) -> emptyCell() :: else fi;
#endif
            x = 0; P = 0 };
         atomic {                                                /* S8: adopt */
            if
            :: state[j] == w ->
#if defined(BREAK_NOBODY_FIRST)
               state[j] = WORD(READY, 0, 1, VERSION(w)); w = 0
#elif defined(BREAK_ADOPT)
               state[j] = WORD(READY, d, 1, VERSION(w)); w = WORD(READY, d, 1, VERSION(w))
#else
               state[j] = WORD(READY, id, 1, VERSION(w)); w = 0
#endif
               mayRepeat[payload[j]] = 1; ok = 1
            :: else -> w = 0
            fi };
         if
         :: atomic { ok -> ok = 0 }; queue(j)
#ifdef BREAK_ADOPT
            ; atomic { if :: state[j] == w -> state[j] = WORD(READY, 0, AGAIN(w), VERSION(w)) :: else fi; w = 0 }
#endif
         :: atomic { else -> j++ }
         fi
      :: atomic { OWNER(w) == d && PHASE(w) == READY && x == FULL(LAP(P), j) ->   /* S9: queued already */
            if :: state[j] == w -> state[j] = WORD(READY, 0, AGAIN(w), VERSION(w)) :: else fi; w = 0; P = 0; x = 0; j++ }
      :: atomic { OWNER(w) == d && PHASE(w) == READY && x != FULL(LAP(P), j) ->   /* S9: not queued: adopt */
            x = 0; P = 0;
            if
            :: state[j] == w ->
#if defined(BREAK_Q1_EVIDENCE)
               state[j] = WORD(READY, 0, AGAIN(w), VERSION(w)); w = 0
#elif defined(BREAK_ADOPT)
               ok = 1
#else
               state[j] = WORD(READY, id, AGAIN(w), VERSION(w)); ok = 1; w = 0
#endif
            :: else -> w = 0
            fi };
         if
         :: atomic { ok -> ok = 0 }; queue(j)
#ifdef BREAK_ADOPT
            ; atomic { if :: state[j] == w -> state[j] = WORD(READY, 0, AGAIN(w), VERSION(w)) :: else fi; w = 0 }
#endif
         :: atomic { else -> j++ }
         fi
      :: atomic { OWNER(w) != d -> w = 0; P = 0; x = 0; j++ }
      fi
   :: atomic { j == SLOTS -> j = 0; break }
   od
}

/* Pins a dead id that some word names, if there is one, and settles it. The probe and the pin are one system call. */
inline recover(n) {
   if
   :: atomic { DEAD(1) -> d = 1; pins[1]++; pinned[n] = 1 }
   :: atomic { DEAD(2) -> d = 2; pins[2]++; pinned[n] = 2 }
   :: atomic { DEAD(3) -> d = 3; pins[3]++; pinned[n] = 3 }
   :: atomic { DEAD(4) -> d = 4; pins[4]++; pinned[n] = 4 }
   :: atomic { DEAD(5) -> d = 5; pins[5]++; pinned[n] = 5 }
   :: else
   fi;
   if
   :: d -> settle(d); atomic { pins[d]--; pinned[n] = 0; d = 0 }
   :: else
   fi
}

proctype producer(byte id) {
   byte k, i, j, P, x, d;
   short w;
   bool ok;
   {
   do
   :: k < (id == 1 -> N1 : NMSG) ->
      if
      :: atomic { PHASE(state[0]) == FREE -> i = 0; state[0] = WORD(WRITING, id, 0, VERSION(state[0])); ok = 1 }   /* S1 */
#if SLOTS > 1
      :: atomic { PHASE(state[1]) == FREE -> i = 1; state[1] = WORD(WRITING, id, 0, VERSION(state[1])); ok = 1 }
#endif
      :: atomic { !SOMEFREE && SOMEDEAD -> ok = 0 }
      fi;
      if
      :: atomic { ok && aborts < ABORTS -> ok = 0; aborts++;                      /* S2 */
            assert(PHASE(state[i]) == WRITING && OWNER(state[i]) == id);
            state[i] = WORD(FREE, 0, 0, NEXT(state[i])); i = 0 }
      :: atomic { ok -> ok = 0; k++;                                              /* S3 */
            assert(PHASE(state[i]) == WRITING && OWNER(state[i]) == id);          /* nobody else touches what we write */
            payload[i] = (id - 1) * NMSG + k; made[payload[i]] = 1;
            state[i] = WORD(READY, id, 0, VERSION(state[i])) };
         queue(i);
         i = 0
      :: atomic { !ok }; recover(id)
      fi
   :: atomic { k == (id == 1 -> N1 : NMSG) -> finished[id] = 1; break }
   od
   } unless { atomic { gone[id] -> k = 0; i = 0; j = 0; P = 0; x = 0; d = 0; w = 0; ok = 0 } }
}

proctype consumer(byte n; byte id) {
   byte i, j, P, x, d, m;
   short w;
   bool ok;
   {
   if
   :: n > NP + NC ->    /* the lock is exclusive: nobody lives under this id, and nobody pins it */
      atomic { !alive[id] && pins[id] == 0 -> alive[id] = 1; idOf[n] = id };
      settle(id)
   :: else
   fi;
   do
   :: begin(emptied);
      x = cell[P % CELLS];
      if
      :: atomic { FULLAT(x, P) -> i = SLOTOF(x); w = state[i] };                  /* Q3 */
         if
         :: atomic { PHASE(w) == READY ->
#ifndef BREAK_REREAD
               if :: cell[P % CELLS] == x -> ok = 1 :: else -> ok = 0 fi };       /* Q3: the word was read while queued */
#else
               ok = 1 };
#endif
            if
            :: atomic { ok ->                                                     /* S4 */
#ifdef BREAK_TAKE
                  if
                  :: true ->
#else
                  if
                  :: state[i] == w ->
#endif
                     state[i] = WORD(READING, id, AGAIN(w), VERSION(w)); m = payload[i];
                     assert(made[m] && !acked[m]);                                /* each once */
                     if
                     :: AGAIN(w) -> assert(mayRepeat[m])
#ifdef WRAP
                     :: else
#else
                     :: else -> assert(m > lastFirst[(m - 1) / NMSG]); lastFirst[(m - 1) / NMSG] = m   /* order */
#endif
                     fi
                  :: else -> ok = 0; w = 0; P = 0; x = 0; i = 0
                  fi };
               if
               :: atomic { ok -> ok = 0; w = 0; emptyCell(); x = 0; P = 0 };      /* Q4: before S5 and S6 */
                  if
                  :: atomic { holds < HOLDS -> holds++; holding[n] = 1 }; end_hold: false
                  :: atomic { nacks < NACKS -> nacks++;                           /* S6 */
                        assert(PHASE(state[i]) == READING && OWNER(state[i]) == id && payload[i] == m);
                        mayRepeat[m] = 1; m = 0; state[i] = WORD(READY, id, 1, VERSION(state[i])) };
                     queue(i);
                     i = 0
                  :: atomic {                                                     /* S5 */
                        assert(PHASE(state[i]) == READING && OWNER(state[i]) == id && payload[i] == m);
                        acked[m] = 1; payload[i] = 0; m = 0; state[i] = WORD(FREE, 0, 0, NEXT(state[i])); i = 0 }
                  fi
               :: atomic { else }
               fi
            :: atomic { else -> w = 0; P = 0; x = 0; i = 0 }
            fi
         :: atomic { PHASE(w) != READY -> w = 0; i = 0; emptyCell(); P = 0; x = 0 }   /* Q4: stale */
         fi
      :: atomic { LATER(x, P) -> P = 0; x = 0 }                                                   /* Q5 */
      :: atomic { x == EMPTY(LAP(P)) && cell[P % CELLS] != x -> P = 0; x = 0 }                    /* waiting is over */
      :: atomic { x == EMPTY(LAP(P)) && SOMEDEAD -> P = 0; x = 0 }; recover(n)
#ifdef WRAP
      :: atomic { LEADS(x, P) && (emptied != P || cell[P % CELLS] != x) -> P = 0; x = 0 }
      :: atomic { LEADS(x, P) && SOMEDEAD -> P = 0; x = 0 }; recover(n)
#else
      :: atomic { LEADS(x, P) -> assert(false) }                                                  /* the hint never leads */
#endif
      fi
   od
   } unless { atomic { gone[n] -> i = 0; j = 0; P = 0; x = 0; d = 0; m = 0; w = 0; ok = 0 } }
}

/* Nobody can move any more. */
inline settled() {
   atomic {
      v = NP + 1;
      do :: v <= NPROC -> if :: idOf[v] && !gone[v] && !holding[v] -> idle = 1 :: else fi; v++ :: else -> break od;
      v = 0;
      do
      :: v < SLOTS ->
         if
#ifndef MAYREMAIN
         :: idle ->         /* what is left is held by a process that lives: stopped, or with its lease */
            assert(PHASE(state[v]) == FREE || OWNER(state[v]) && alive[OWNER(state[v])]);
            assert(PHASE(state[v]) != READY || halted[OWNER(state[v])])
#endif
         :: else
         fi;
         if :: payload[v] && (PHASE(state[v]) == READY || PHASE(state[v]) == READING) -> inSlot[payload[v]] = 1 :: else fi;
         v++
      :: else -> break
      od;
      v = 1;
      do :: v <= MESSAGES -> assert(!made[v] || acked[v] || inSlot[v]); v++ :: else -> break od;   /* nothing is lost */
      v = 1;
      do :: v <= NP -> assert(gone[v] || finished[v] || !SOMEFREE && !SOMEDEAD); v++ :: else -> break od
   }
}

init {
   byte v;
   bool idle, inSlot[MESSAGES + 1];
   atomic {
      do
      :: v < CELLS -> cell[v] = EMPTY(0); v++
      :: else -> break
      od;
      v = 1;
      do
      :: v <= NP -> alive[v] = 1; idOf[v] = v; run producer(v); v++
      :: v > NP && v <= NP + NC -> alive[v] = 1; idOf[v] = v; run consumer(v, v); v++
      :: v > NP + NC && v <= NPROC -> run consumer(v, NEWID); v++
      :: v > NPROC -> break
      od;
      v = 0
   }
   do
   :: atomic { kills < KILLS -> kills++;
         if :: v = 1 :: v = 2 :: NPROC > 2 -> v = 3 :: NPROC > 3 -> v = 4 :: NPROC > 4 -> v = 5 fi;
         if
         :: idOf[v] && !gone[v] -> gone[v] = 1; alive[idOf[v]] = 0; idOf[v] = 0;
            if :: pinned[v] -> pins[pinned[v]]--; pinned[v] = 0 :: else fi
         :: else
         fi; v = 0 }
   :: atomic { stops < STOPS -> stops++;
         if :: v = 1 :: v = 2 :: NPROC > 2 -> v = 3 :: NPROC > 3 -> v = 4 :: NPROC > 4 -> v = 5 fi;
         if :: idOf[v] && !gone[v] && !finished[v] -> gone[v] = 1; halted[idOf[v]] = 1 :: else fi; v = 0 }
   :: break
   od;
   timeout -> settled()
}
