/* Room for large messages in a queue (docs/QUEUE.md; src/channel/arena.ts). Whoever has claimed a slot announces blocks for
   it, looks at all others, and keeps them or withdraws; writes, reads, finishes and frees. Who owns a slot is what mpmc.pml
   shows: here the writer of a message is its first reader, and the next one comes when that one is killed.

   Checked: no block is two messages' at once; a message that is read has its blocks, and a small one has none. Between any two steps a process may be killed (KILLS): its slot is given back as that of a
   writer or a reader, and nothing else is repaired. One that is stopped for ever is one that is killed and not recovered.
   BREAK_... leaves out one rule. Memory is sequentially consistent. scripts/model.mjs runs the configurations. */
#ifndef N
#define N 2             /* processes, each with a slot of its own choice at a time */
#endif
#ifndef SLOTS
#define SLOTS N
#endif
#ifndef BLOCKS
#define BLOCKS 2
#endif
#ifndef ROUNDS
#define ROUNDS 1        /* messages of each process */
#endif
#ifndef KILLS
#define KILLS 0
#endif
#define FREE 0
#define WRITING 1
#define READING 2
#define STALE 9         /* the owner of a slot whose message waits for its next reader */

byte phase[SLOTS], owner[SLOTS];
byte start[SLOTS];      /* start, length, kept are one word, loaded and stored in one step; length 0: no extent */
byte length[SLOTS];
bool kept[SLOTS];
bool marked[SLOTS];     /* the slot's bit */
bool large[SLOTS];      /* ghost: the message in the slot */
byte user[BLOCKS];      /* ghost: the slot whose message is written or read there, + 1 */
bool dead[N];
byte kills;

#define OVERLAPS(j) (length[j] > 0 && start[j] < at + size && at < start[j] + length[j])

inline use(i) {
   d_step {
      b = 0;
      do
      :: b < length[i] -> assert(user[start[i] + b] == 0); user[start[i] + b] = i + 1; b++
      :: else -> break
      od;
      b = 0
   }
}

/* The ghost only: nobody touches the blocks of the message any more. */
inline letGo(i) {
   b = 0;
   do
   :: b < BLOCKS -> if :: user[b] == i + 1 -> user[b] = 0 :: else fi; b++
   :: else -> break
   od;
   b = 0
}

inline clear() {
   if
   :: length[i] > 0 -> d_step { length[i] = 0; kept[i] = false }; marked[i] = false
   :: else
   fi
}

inline finish() {
   assert((length[i] > 0) == large[i]);
#ifdef BREAK_FINISH
   d_step { letGo(i) };
#else
   d_step { phase[i] = WRITING; letGo(i) };
#endif
   clear();
   d_step { phase[i] = FREE; large[i] = false }
}

proctype Process(byte me) {
   byte i, j, b, at, size, round, used;
   bool mine;
   {
   do
   :: round < ROUNDS ->
      /* Claims any slot; there are as many as processes. */
      i = 0;
      do
      :: atomic { phase[i] == FREE -> phase[i] = WRITING; owner[i] = me; break }
      :: phase[i] != FREE -> i = (i + 1) % SLOTS
      od;
#ifndef BREAK_CLEAR
      clear();
#endif
      if
      :: phase[i] = READING; finish(); goto next        /* a small one */
      :: size = 1
      :: size = BLOCKS
      fi;
      do
      :: /* Finds room: blocks that nobody seems to have. */
         used = 0; j = 0;
         do
         :: j < SLOTS && marked[j] && j != i ->
            atomic { if :: length[j] > 0 && phase[j] != FREE -> b = 0;
               do
               :: b < length[j] -> used = used | (1 << (start[j] + b)); b++
               :: else -> break
               od
            :: else fi; b = 0; j++ }
         :: j < SLOTS && (!marked[j] || j == i) -> j++
         :: j >= SLOTS -> break
         od;
         at = 0;
         do
         :: at + size <= BLOCKS && (used & (((1 << size) - 1) << at)) != 0 -> at++
         :: else -> break
         od;
         if
         :: at + size > BLOCKS -> clear(); phase[i] = FREE; goto next     /* no room */
         :: else
         fi;
#ifndef BREAK_BIT
         marked[i] = true;
#endif
#ifndef BREAK_ORDER
         d_step { start[i] = at; length[i] = size; kept[i] = false };
#endif
         /* Looks at all others. */
         mine = true; j = 0;
         do
         :: j >= SLOTS || !mine -> break
#ifdef BREAK_CHECK
         :: j < SLOTS -> j = SLOTS
#endif
         :: j < SLOTS && mine ->
            if
            :: j == i || !marked[j] -> j++
            :: else ->
               if
               :: !OVERLAPS(j) -> j++
               :: OVERLAPS(j) ->
                  if
                  :: phase[j] == FREE -> j++
                  :: else ->
                     if
                     :: !OVERLAPS(j)            /* it withdraws just now: looks again */
                     :: OVERLAPS(j) && (kept[j] || j < i) -> mine = false
                     :: OVERLAPS(j) && !kept[j] && j > i ->
                        if
                        :: true                 /* looks again */
#ifdef BREAK_YIELD
                        :: j++
#else
                        :: mine = false         /* has looked often enough */
#endif
                        fi
                     fi
                  fi
               fi
            fi
         od;
#ifdef BREAK_BIT
         marked[i] = true;
#endif
#ifdef BREAK_ORDER
         if :: mine -> d_step { start[i] = at; length[i] = size } :: else fi;
#endif
         if
         :: mine -> break
         :: else -> clear()
         fi
      od;
      kept[i] = true;
      use(i);
      d_step { large[i] = true; phase[i] = READING };      /* commit, take */
      finish();
next:
      i = 0; at = 0; size = 0;
      round++
   :: else -> break
   od
   } unless { dead[me] }
}

/* Kills one, and any time later gives its slot back, and reads the message that comes again. */
proctype Killer() {
   byte i, b, victim;
   do
   :: kills < KILLS ->
      select(victim : 0 .. N - 1);
      atomic { dead[victim] = true; kills++ };
      i = 0;
      do
      :: i < SLOTS ->
         if
         :: atomic { phase[i] == WRITING && owner[i] == victim -> phase[i] = FREE; large[i] = false; letGo(i) }
         :: atomic { phase[i] == READING && owner[i] == victim -> owner[i] = STALE; letGo(i) };
            use(i);
            finish()
         :: else
         fi;
         i++
      :: else -> break
      od
   :: else -> break
   od
}

init {
   byte i;
   atomic {
      do
      :: i < N -> run Process(i); i++
      :: else -> break
      od;
      if :: KILLS > 0 -> run Killer() :: else fi
   }
}
