/* A record in a Value (src/shared/record-cell.ts): each writer has two copies, a word names the current one of all and
   counts its changes. Two cells stand for the bytes of a record. A writer replaces the record by one that is 1 higher,
   NWRITES times, the reader reads it NREADS times. Up to KILLS of them are killed between any two steps; a killed writer's
   place, and its copies, go to a newcomer that writes as often.

   Checked: nobody finds a torn record valid; each change is one of the record before it (at the end the record is as high as
   there were changes); at quiescence everybody that lives has done what it came for. BREAK_... leaves out one rule.
   Memory is sequentially consistent. scripts/model.mjs runs the configurations. */
#ifndef NW
#define NW 2
#endif
#ifndef NWRITES
#define NWRITES 2
#endif
#ifndef NREADS
#define NREADS 1
#endif
#ifndef KILLS
#define KILLS 0
#endif
#define COPIES (2 * NW)

byte first[COPIES], second[COPIES]; /* the two cells of each copy */
byte current, changes;              /* the word */
byte kills;                         /* how many were killed */
byte made;                          /* changes that came to pass */
byte running;

#ifdef BREAK_COUNT
#define COUNT(n) 0
#else
#define COUNT(n) (n)
#endif

#define MAYDIE if :: kills < KILLS -> atomic { kills++; goto died } :: true fi

/* takeSnapshot(): loads the word, reads the copy, and loads the word again. */
inline snapshot() {
   atomic { word = current; count = changes };
   a = first[word];
   b = second[word]
}

#ifdef BREAK_VALIDATE
#define VALID true
#else
#define VALID (word == current && count == changes)
#endif

proctype Writer(byte me) {
   byte word, count, a, b, mine, done;
again:
   do
   :: done < NWRITES ->
      snapshot();
      MAYDIE;
      if
      :: atomic { !VALID -> goto again }
      :: atomic { VALID -> assert(a == b) }
      fi;
      /* publish() */
      if
      :: atomic { !(word == current && count == changes) -> goto again }
      :: atomic { word == current && count == changes -> skip }
      fi;
#ifdef BREAK_SPARE
      mine = 2 * me;
#else
      mine = (word == 2 * me -> 2 * me + 1 : 2 * me);
#endif
      first[mine] = a + 1;
      MAYDIE;
      second[mine] = a + 1;
      MAYDIE;
      atomic {
         if
         :: word == current && count == changes ->
            current = mine;
            changes = COUNT(changes + 1);
            made++;
            done++
         :: else
         fi
      };
      MAYDIE
   :: else -> break
   od;
   running--;
   goto end;
died:
   done = 0; /* The newcomer knows nothing but whose place it has. */
   goto again;
end:
   skip
}

proctype Reader() {
   byte word, count, a, b, done;
again:
   do
   :: done < NREADS ->
      snapshot();
      if
      :: atomic { !VALID -> goto again }
      :: atomic { VALID -> assert(a == b); done++ }
      fi
   :: else -> break
   od;
   running--
}

init {
   byte i;
   atomic {
      running = NW + (NREADS > 0);
      do
      :: i < NW -> run Writer(i); i++
      :: else -> break
      od;
      if
      :: NREADS > 0 -> run Reader()
      :: else
      fi
   }
   timeout;
   assert(running == 0 && first[current] == made && second[current] == made)
}
