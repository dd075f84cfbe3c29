// Who is attached to a ring, for people.

import { participantPid, type Segment } from '../memory/segment.js';

export interface ParticipantInfo {
  /** `attached`: a handle without an end. */
  role: 'producer' | 'consumer' | 'publisher' | 'subscriber' | 'attached';
  /** In the participant's own pid namespace. */
  pid: number;
  /** False for a holder whose death nobody has settled yet. */
  alive: boolean;
}

/** Those that live, but for some. Asks the kernel once for each. */
export function attachedParticipants(segment: Segment, except: ReadonlySet<number> = new Set()): ParticipantInfo[] {
  const found: ParticipantInfo[] = [];
  for (let id = 0; id < segment.maxParticipants; id++) {
    const pid = participantPid(segment, id);
    if (pid === 0 || except.has(id) || !segment.alive(id)) continue;
    found.push({ role: 'attached', pid, alive: true });
  }
  return found;
}
