/* Room in a broadcast ring that blocks (docs/BROADCAST.md, G): publishers look for room, each with what it remembers of the
   cursors, then write into their spare, and publish any time later; subscribers read, come and go. How slots are swapped is
   in broadcast.pml: here publishing is one step, which makes the slot of the message `SLOTS` before it the spare.

   Checked: nobody writes where a message stands that an active subscriber has still to read; at quiescence everybody has done what it
   came for. BREAK_... leaves out one rule. Memory is sequentially consistent. scripts/model.mjs runs the configurations. */
#ifndef SLOTS
#define SLOTS 1
#endif
#ifndef NP
#define NP 2
#endif
#ifndef NS
#define NS 2            /* subscribers; the first NEWS of them come later, at the oldest message that is there */
#endif
#ifndef NEWS
#define NEWS 1
#endif
#ifndef NMSG
#define NMSG 2          /* messages of each publisher */
#endif
#ifndef NREADS
#define NREADS 2        /* messages that a subscriber reads before it goes, unless nobody publishes any more */
#endif
#define START 20        /* the first position */

byte tail = START;
byte cursor[NS], subscribing;
bool counts[NS];
bool settled[NS];       /* it reads from its cursor on; before that, the cursor only holds publishers back */
bool finished[NP + NS];
byte published;         /* publishers that have finished */

/* What stood in the spare, at position `mine`, is not to be read any more. */
inline checkMayWrite() {
   d_step {
      k = 0;
      do
      :: k < NS -> assert(!(counts[k] && settled[k]) || cursor[k] > mine); k++
      :: else -> break
      od
   }
}

proctype Publisher(byte me) {
   byte least, mine, seen = 255, version, T, c, most, i, k, sent, slowest;
   do
   :: sent < NMSG ->
      do
      :: version = subscribing;
         T = tail;
         if
         :: version == seen && T - least < SLOTS -> break
#ifdef BREAK_ROOM
         :: true -> break
#endif
#ifdef BREAK_VERSION
         :: seen != 255 && T - least < SLOTS -> break
#endif
         :: else ->
            most = 0;
            i = 0;
            do
            :: i < NS ->
               if
               :: counts[i] ->
                  c = cursor[i];
                  if
                  :: T > c && T - c > most -> most = T - c; slowest = i
                  :: else
                  fi
               :: else
               fi;
               i++
            :: else -> break
            od;
            seen = version;
            least = T - most;
            if
            :: most < SLOTS -> break
            :: else -> (cursor[slowest] != least || subscribing != seen)  /* Asleep; who moves or goes wakes. */
            fi
         fi
      od;
      checkMayWrite();
      atomic { mine = tail - SLOTS; tail++ }            /* Any time later. */
      sent++
   :: else -> break
   od;
   atomic { finished[me] = true; published++ }
}

proctype Subscriber(byte me; bool late) {
   byte reads, T;
   if
   :: late ->
      T = tail;
      cursor[me] = T - SLOTS;
      counts[me] = true;
#ifndef BREAK_TELL
      subscribing++;
#endif
#ifndef BREAK_RELOAD
      T = tail;
#endif
      if
      :: T - SLOTS > START -> T = T - SLOTS
      :: else -> T = START
      fi;
      atomic { cursor[me] = T; settled[me] = true }
   :: else
   fi;
   do
   :: reads < NREADS -> (cursor[me] < tail || published == NP);
      if
      :: cursor[me] < tail -> cursor[me]++; reads++
      :: else -> break
      fi
   :: else -> break
   od;
   counts[me] = false;
   subscribing++;
   finished[NP + me] = true
}

init {
   byte i;
   atomic {
      do
      :: i < NS ->
         if
         :: i >= NEWS -> cursor[i] = START; counts[i] = true; settled[i] = true
         :: else
         fi;
         run Subscriber(i, i < NEWS);
         i++
      :: else -> break
      od;
      i = 0;
      do
      :: i < NP -> run Publisher(i); i++
      :: else -> break
      od
   }
   timeout;
   d_step {
      i = 0;
      do
      :: i < NP + NS -> assert(finished[i]); i++
      :: else -> break
      od
   }
}
