import { PassThrough } from 'node:stream'
import type { Clock } from '../../../src/core/clock.ts'
import type { End } from '../../../src/core/end.ts'
import { PROFILES } from '../../../src/core/end.ts'
import { toIdentity, type Identity, type IdentityInput } from '../../../src/core/identity.ts'
import { FOR_EVER, LiveConnection } from '../../../src/connections/connection.ts'

/** Wall time and the time that timers count, apart: the first jumps, and goes on while the machine sleeps. */
export class TwoClocks implements Clock {
  #wall = Date.UTC(2026, 10, 23)
  #steady = 0
  /** How long each timer was asked for. */
  readonly asked: number[] = []
  readonly #timers = new Set<{ readonly at: number; readonly call: () => void }>()

  now(): number {
    return this.#wall
  }

  after(ms: number, call: () => void): () => void {
    this.asked.push(ms)
    const timer = { at: this.#steady + ms, call }
    this.#timers.add(timer)
    return () => void this.#timers.delete(timer)
  }

  get timers(): number {
    return this.#timers.size
  }

  /** The wall clock is set, or the machine has slept: no timer hears of it. */
  jump(ms: number): void {
    this.#wall += ms
  }

  run(ms: number): void {
    const until = this.#steady + ms
    for (;;) {
      const [next] = [...this.#timers].filter(({ at }) => at <= until).toSorted((a, b) => a.at - b.at)
      if (next === undefined) break
      this.#timers.delete(next)
      this.#advance(Math.max(this.#steady, next.at))
      next.call()
    }
    this.#advance(until)
  }

  #advance(to: number): void {
    this.#wall += to - this.#steady
    this.#steady = to
  }
}

export function identityOf(input: Partial<IdentityInput> = {}): Identity {
  return toIdentity({ subject: 'ann', ...input }, 'app')
}

export interface Made {
  readonly connection: LiveConnection
  readonly carrier: PassThrough
  readonly ends: Array<End & { readonly code: number }>
}

let lastNumber = 0

/** A connection whose end is written down and goes nowhere. */
export function makeConnection(
  given: {
    readonly identity?: Partial<IdentityInput>
    readonly number?: number
    readonly order?: number
    readonly now?: number
    readonly address?: string
    readonly left?: (connection: LiveConnection) => void
  } = {},
): Made {
  const carrier = new PassThrough()
  const ends: Made['ends'] = []
  const number = given.number ?? ++lastNumber
  const connection = LiveConnection.create({
    number,
    identity: identityOf(given.identity),
    order: given.order ?? 0,
    now: given.now ?? 0,
    carrier,
    ender: {
      end(_carrier, kind, reason, profile): number {
        ends.push({ kind, reason, code: profile[kind] })
        return profile[kind]
      },
      queued: () => 0,
    },
    socket: carrier,
    kin: {
      profile: PROFILES.default,
      tokenOf: (n) => `token-${n}`,
      left: given.left ?? ((): void => undefined),
    },
    trust: FOR_EVER,
  })
  if (given.address !== undefined) connection.address = given.address
  return { connection, carrier, ends }
}
