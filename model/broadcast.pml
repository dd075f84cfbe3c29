/* Where the broadcast ring of docs/BROADCAST.md stores messages: every step on shared words is one transition, named P1..P7
   and N as there. Publishers write into a slot of their own and swap it for the one that their message displaces; anybody
   may be killed (KILLS) or stopped for ever (STOPS) between any two steps; recoverers, which may be killed too, settle the
   entries of the dead; newcomers (NEWCOMERS) take these over. One subscriber reads with `overwrite`, validating (V).

   Checked: nobody writes into a slot that a message or another publisher has; no message is read torn or for another;
   nothing is published twice; at quiescence (nobody can move) everybody who lives has published all of its messages.
   BREAK_... leaves out one rule. Room is in broadcast_room.pml. Memory is sequentially consistent; positions do not wrap.
   scripts/model.mjs runs the configurations. */
#ifndef NP
#define NP 2            /* publishers' entries, and processes that hold them first */
#endif
#ifndef NMSG
#define NMSG 2          /* messages of each publisher */
#endif
#ifndef N0
#define N0 NMSG         /* messages of the first publisher and of newcomers, at most NMSG */
#endif
#ifndef DEPTH
#define DEPTH 1         /* messages that are there */
#endif
#ifndef CELLS
#define CELLS (2 * DEPTH + 1)
#endif
#ifndef KILLS
#define KILLS 0
#endif
#ifndef STOPS
#define STOPS 0
#endif
#ifndef RECOVERERS
#define RECOVERERS 0
#endif
#ifndef NEWCOMERS
#define NEWCOMERS 0
#endif
#ifndef READS
#define READS 0         /* messages that the subscriber looks at */
#endif
#define SLOTS (DEPTH + NP)
#define WRITERS (NP + NEWCOMERS)
#define NPROC (WRITERS + RECOVERERS)
#define START CELLS     /* the first position; those before it are as if there had been messages */
#define LAP(p) ((p) / CELLS)
#define WORD(p, s) (LAP(p) * SLOTS + (s))
#define LAPOF(w) ((w) / SLOTS)
#define SLOTOF(w) ((w) % SLOTS)
#ifdef BREAK_TAG
#define SPARE(p, s) WORD(p, s)
#else
#define SPARE(p, s) ((p) * SLOTS + (s))                 /* a spare word: the slot, and the position it comes from */
#endif
#define NOBODY 255

byte cell[CELLS], tail;
byte spare[NP];
byte holder[NP];                                        /* of an entry: process + 1, or 0 */
byte hpos[SLOTS], hpub[SLOTS];                          /* what a slot says of its message */
byte lo[SLOTS], hi[SLOTS];                              /* its bytes, written in two steps */

/* What only the checks know. */
byte won;                                               /* the position of the next message */
byte at[START + WRITERS * NMSG + 1];                    /* the message of a position */
bool gone[NPROC], dead[NPROC], finished[NPROC];
byte kills, stops;

#define MAYFALL (kills < KILLS || stops < STOPS)
#define FALL(me) \
   if \
   :: kills < KILLS -> atomic { kills++; gone[me] = true; dead[me] = true } goto fallen \
   :: stops < STOPS -> atomic { stops++; gone[me] = true } goto fallen \
   :: true \
   fi

/* Nobody but its writer may have slot s: no message that is there, and no other publisher. */
inline checkMine(e, s) {
   d_step {
      k = 1;
      do
      :: k <= DEPTH -> assert(SLOTOF(cell[(won - k) % CELLS]) != s); k++
      :: else -> break
      od
   }
}

/* P1 to P7: message m by the holder of entry e, whose spare word is sp. */
inline publish(me, e, m) {
   s = SLOTOF(sp);
   FALL(me);
   d_step { lo[s] = m } checkMine(e, s);                /* P1 */
   FALL(me);
   d_step { hi[s] = m; hpub[s] = e } checkMine(e, s);
   do
   :: FALL(me);
      T = tail;                                         /* P2 */
      w = cell[T % CELLS];
      if
      :: LAPOF(w) == LAP(T) ->
         FALL(me);
         atomic { if :: tail == T -> tail = T + 1 :: else fi }
      :: LAPOF(w) != LAP(T) && LAPOF(w) + 1 != LAP(T) -> skip
      :: LAPOF(w) + 1 == LAP(T) ->
         d = cell[(T - DEPTH) % CELLS];
         x = SLOTOF(d);
         o = hpub[x];                                   /* P4 */
         b = (o < NP -> spare[o] : NOBODY);
         y = cell[(T - 2 * DEPTH) % CELLS];
         if
#ifndef BREAK_REREAD
         :: cell[T % CELLS] != w -> skip
         :: cell[T % CELLS] == w ->
#else
         :: true ->
#endif
#ifndef BREAK_HELP
            FALL(me);
            atomic {
               if
               :: o != e && o != NOBODY && SLOTOF(b) == x && spare[o] == b -> spare[o] = SPARE(T - 2 * DEPTH, SLOTOF(y))
               :: else
               fi
            }
#endif
            FALL(me);
            hpos[s] = T;                                /* P5 */
            FALL(me);
            atomic {                                    /* P6 */
               if
               :: cell[T % CELLS] == w ->
                  cell[T % CELLS] = WORD(T, s);
                  assert(T == won);
                  at[T] = m;
                  won++;
                  done = true
               :: else
               fi
            }
            if
            :: done ->
               done = false;
               FALL(me);
               sp = SPARE(T - DEPTH, SLOTOF(d));
               spare[e] = sp;                           /* P7 */
               FALL(me);
               atomic { if :: tail == T -> tail = T + 1 :: else fi }
               break
            :: else
            fi
         fi
      fi
   od
}

proctype Publisher(byte me; byte e; bool newcomer) {
   byte sp, s, T, w, d, x, o, b, y, k, sent;
   bool done;
   if
   :: newcomer -> atomic { holder[e] == 0 -> holder[e] = me + 1 }
   :: else
   fi;
   sp = spare[e];
   do
   :: sent < (me == 0 || newcomer -> N0 : NMSG) -> publish(me, e, me * NMSG + sent + 1); sent++
   :: else -> break
   od;
   finished[me] = true;
   goto end;
fallen:
   skip;
end:
   skip
}

/* N, as BroadcastSlots::leave(): settles entry e if its holder is dead. Several may be at it. */
proctype Recoverer(byte me) {
   byte e, h, b, s, T, y;
   do
   :: atomic { holder[0] != 0 && dead[holder[0] - 1] -> e = 0; h = holder[0] }
      goto settle
#if NP > 1
   :: atomic { holder[1] != 0 && dead[holder[1] - 1] -> e = 1; h = holder[1] }
      goto settle
#endif
   od;
settle:
   FALL(me);
   b = spare[e];
   s = SLOTOF(b);
   T = hpos[s];
   if
   :: T >= START && cell[T % CELLS] == WORD(T, s) ->
      y = cell[(T - DEPTH) % CELLS];
      if
#ifndef BREAK_DISPLACED
      :: LAPOF(cell[(T + DEPTH) % CELLS]) + 1 != LAP(T + DEPTH) -> skip
      :: LAPOF(cell[(T + DEPTH) % CELLS]) + 1 == LAP(T + DEPTH) ->
#else
      :: true ->
#endif
         FALL(me);
         atomic { if :: spare[e] == b -> spare[e] = SPARE(T - DEPTH, SLOTOF(y)) :: else fi }
      fi
   :: else
   fi;
   FALL(me);
   atomic { if :: holder[e] == h -> holder[e] = 0 :: else fi }
   finished[me] = true;
fallen:
   skip
}

proctype Subscriber() {
   byte P = START, w, s, one, two, looks, T;
   do
   :: looks < READS ->
      w = cell[P % CELLS];
      if
      :: LAPOF(w) == LAP(P) ->
         s = SLOTOF(w);
         if
         :: hpos[s] != P -> P = tail                   /* Lapped. */
         :: else ->
            one = lo[s];
            two = hi[s];
#ifndef BREAK_VALIDATE
            w = cell[(P + DEPTH) % CELLS];              /* V */
            if
            :: LAPOF(w) + 1 == LAP(P + DEPTH) -> assert(one == at[P] && two == at[P]); P++
            :: else -> P = tail
            fi
#else
            assert(one == at[P] && two == at[P]);
            P++
#endif
         fi;
         looks++
      :: LAPOF(w) > LAP(P) -> P = tail; looks++
      :: LAPOF(w) < LAP(P) -> (LAPOF(cell[P % CELLS]) >= LAP(P) || timeout);
         if
         :: LAPOF(cell[P % CELLS]) < LAP(P) -> break
         :: else
         fi
      fi
   :: else -> break
   od
}

init {
   byte i;
   atomic {
      do
      :: i < SLOTS -> hpub[i] = NOBODY; i++
      :: else -> break
      od;
      i = 1;
      do                                                /* The cells of the positions before START. */
      :: i <= CELLS -> cell[(START - i) % CELLS] = WORD(START - i, (i <= DEPTH -> i - 1 : 0));
         if :: i <= DEPTH -> hpos[i - 1] = START - i :: else fi;
         i++
      :: else -> break
      od;
      tail = START;
      won = START;
      i = 0;
      do
      :: i < NP -> spare[i] = SPARE(0, DEPTH + i); holder[i] = i + 1; run Publisher(i, i, false); i++
      :: else -> break
      od;
      i = 0;
      do
      :: i < NEWCOMERS -> run Publisher(NP + i, 0, true); i++
      :: else -> break
      od;
      i = 0;
      do
      :: i < RECOVERERS -> run Recoverer(WRITERS + i); i++
      :: else -> break
      od;
      if :: READS > 0 -> run Subscriber() :: else fi
   }
   timeout;                                             /* Nobody can move. */
   d_step {
      i = 0;
      do
      :: i < NP -> assert(finished[i] || gone[i]); i++
      :: else -> break
      od
   }
}
