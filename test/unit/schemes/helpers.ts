import { Waiting } from '../../../src/core/waiting.ts'
import type { Clock } from '../../../src/core/clock.ts'
import type { Scheme, SchemeRequest } from '../../../src/core/scheme.ts'
import { runSchemes } from '../../../src/schemes/combine.ts'

/** A request with these header fields, as a scheme sees it. */
export function request(...headers: ReadonlyArray<readonly [string, string]>): SchemeRequest {
  const peer = {
    address: '127.0.0.1',
    port: 1,
    localAddress: '127.0.0.1',
    localPort: 2,
    encrypted: false,
    certified: false,
  }
  return {
    headers: [['host', 'localhost'], ...headers.map(([name, value]) => [name.toLowerCase(), value] as const)],
    peer,
  }
}

export const authorization = (value: string): SchemeRequest => request(['Authorization', value])
export const withKey = (value: string): SchemeRequest => request(['X-Api-Key', value])
export const basicOf = (pair: string): SchemeRequest => authorization(`Basic ${Buffer.from(pair).toString('base64')}`)

/** The subject that was found, or the code of the refusal. */
export async function verdict(schemes: Scheme | readonly Scheme[], asked: SchemeRequest): Promise<string> {
  const list: readonly Scheme[] = Array.isArray(schemes) ? schemes : [schemes as Scheme]
  const outcome = await runSchemes(list, asked, new Waiting())
  return outcome.type === 'identity' ? outcome.identity.subject : outcome.refuse.code
}

/** A clock that stands still until it is moved. */
export function heldClock(start = Date.now()): Clock & { move(ms: number): void } {
  let now = start
  return {
    now: () => now,
    after: () => () => undefined,
    move(ms) {
      now += ms
    },
  }
}

/** A promise that is settled from outside. */
export function deferred<T>(): { promise: Promise<T>; resolve: (value: T) => void } {
  let resolve!: (value: T) => void
  const promise = new Promise<T>((settle) => {
    resolve = settle
  })
  return { promise, resolve }
}
