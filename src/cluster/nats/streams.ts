import type { Names } from './names.ts'
import type { StreamConfig } from './jetstream.ts'

/** Longer than anything with a lifetime is kept: what nobody has taken away is gone then. */
export const MAX_TTL = 24 * 60 * 60_000
const NANOSECONDS = 1_000_000

/** The streams of one prefix. What a restart of the server may forget lies in its memory: no used ticket comes back. */
export interface Streams {
  head(id: string): StreamConfig
  log(generation: string): StreamConfig
  readonly state: StreamConfig
  readonly tickets: StreamConfig
}

export function streamsOf(names: Names, replicas: number): Streams {
  const once = { max_msgs_per_subject: 1, num_replicas: replicas } as const
  const brief = { ...once, storage: 'memory', max_age: MAX_TTL * NANOSECONDS } as const
  /** Of several that come with the same subject, the first one alone is taken. */
  const first = { discard: 'new', discard_new_per_subject: true } as const
  return {
    head: (id) => ({ ...once, ...first, name: names.head, subjects: [names.chain(id)], storage: 'file' }),
    log: (generation) => ({
      name: names.log(generation),
      subjects: [names.logSubject(generation)],
      storage: 'file',
      num_replicas: replicas,
      // An entry is of 32 KiB at most.
      max_msg_size: 64 * 1024,
      // After it was stored, unlike the message itself.
      republish: { src: names.logSubject(generation), dest: names.wake, headers_only: true },
    }),
    state: { ...brief, name: names.state, subjects: [names.stateSubjects], discard: 'old' },
    tickets: { ...brief, ...first, name: names.tickets, subjects: [names.ticketSubjects] },
  }
}
