import type { Bag } from './bag.ts'
import type { LiveConnection } from './connection.ts'
import type { Timed } from './deadlines.ts'

/** What the door is asked with again: one for all connections that came with the same credential to the same place. */
export interface Facts extends Timed {
  readonly key: string
  /** For the assembly, which knows what to do with it. */
  readonly asked: unknown
  /** Undefined where the last one has left. */
  members: Bag<LiveConnection> | undefined
  /** A question is under way. */
  asking: boolean
  /** What has come up meanwhile: asked again as soon as there is an answer. */
  again: RecheckCause | undefined
  /** Since when there was no answer, in milliseconds since the epoch; undefined where the last one was. */
  failingSince: number | undefined
  failures: number
  /** Since when it waits to be asked, in milliseconds since the epoch. */
  waitingSince: number | undefined
}

/** Why the door is asked again. */
export type RecheckCause = 'schedule' | 'expiry' | 'session' | 'cluster'
