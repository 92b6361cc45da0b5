import { createHmac, hash, randomBytes } from 'node:crypto'
import { hostname } from 'node:os'
import type { Clock } from '../core/clock.ts'
import { connectionId, type LiveConnection } from '../connections/connection.ts'
import { createDeadlines } from '../connections/deadlines.ts'
import { createRechecks } from '../connections/rechecks.ts'
import { createRevocations, type Hash } from '../connections/revocations.ts'
import type { Keys, SecretKey } from '../credentials/keys.ts'
import { onDue } from './life.ts'
import {
  checkSessionStore,
  durationOf,
  readCloseCodes,
  readExpiryJitter,
  readRecheck,
  type Recheck,
} from './life-options.ts'
import type { GateOptions } from './options.ts'
import { askAgain, settleRecheck } from './recheck.ts'
import type { GateState } from './state.ts'

type Life = Pick<
  GateState,
  | 'kin'
  | 'closeCodes'
  | 'life'
  | 'deadlines'
  | 'recheck'
  | 'rechecks'
  | 'revocations'
  | 'maxCredentialAge'
  | 'hashes'
  | 'sessionTag'
  | 'node'
  | 'nextOrder'
>

/** @param stateOf - what is made here is part of it: asked for when the first connection opens. */
export function createLife(stateOf: () => GateState, options: GateOptions<never>, clock: Clock, keys: Keys): Life {
  const { maxAge = '24h', maxCredentialAge = '90d', sessionStore } = options
  checkSessionStore(sessionStore)
  const recheck = readRecheck(options.recheck)
  const hashes = keys.all.map(createHash)
  const hashOf = createHash(keys.first)
  const closeCodes = readCloseCodes('createGate', options.closeCodes)
  let order = 0
  const nextOrder = (): number => ++order
  return {
    recheck,
    closeCodes,
    nextOrder,
    hashes,
    sessionTag: (session) => Buffer.from(hashOf('session', session), 'latin1').toString('base64url'),
    node: `${hostname()
      .replaceAll(/[^\w.-]/g, '_')
      .slice(0, 32)}.${process.pid}.${randomBytes(6).toString('base64url')}`,
    kin: {
      profile: closeCodes,
      tokenOf: createTokens(keys),
      left: (connection) => stateOf().registry.left(connection),
    },
    life: {
      maxAge: durationOf('maxAge', maxAge),
      jitter: readExpiryJitter(options.expiryJitter),
    },
    maxCredentialAge: durationOf('maxCredentialAge', maxCredentialAge),
    revocations: createRevocations(clock, hashes),
    deadlines: createDeadlines<LiveConnection>(clock, (connection, now) => {
      onDue(stateOf(), connection, now)
    }),
    rechecks: createRechecks({
      clock,
      policy: recheck ?? OFF,
      nextOrder,
      ask: (asked) => askAgain(stateOf(), asked),
      settle: (asked, verdict, isLast) => settleRecheck(stateOf(), asked, verdict, isLast),
    }),
  }
}

/** Nothing joins where re-checks are off. */
const OFF: Recheck = { every: 60_000, jitter: 0, concurrency: 1, grace: 0, closeAfterGrace: true, check: undefined }

const HASH_BYTES = 16

function createHash(secret: SecretKey): Hash {
  const key = secret.derive('revocation').export().toString('base64')
  // Looked up some times for each handshake: a MAC in one call. Nobody sees one who could make it longer.
  return (kind, text) => hash('sha256', `${key}${kind}\0${text}`, 'binary').slice(0, HASH_BYTES)
}

/** Good for this process alone: another one does not have the connection. */
function createTokens({ first }: Keys): (number: number) => string {
  const key = first.derive('connection token', randomBytes(HASH_BYTES))
  return (number) => {
    const id = connectionId(number)
    return `${id}.${createHmac('sha256', key).update(id).digest('base64url')}`
  }
}
