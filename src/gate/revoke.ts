import type { Ack } from '../cluster/acks.ts'
import type { Durability } from '../cluster/engine.ts'
import type { Applied } from '../cluster/messages.ts'
import { ENDS } from '../core/end.ts'
import { issuedAtOf, MAX_ID } from '../core/identity.ts'
import { Gate101Error } from '../core/errors.ts'
import type { LiveConnection } from '../connections/connection.ts'
import type { Hash, Selector } from '../connections/revocations.ts'
import { numberOf, select } from '../connections/select.ts'
import { inSlices } from '../connections/slices.ts'
import { checkNames } from './check-names.ts'
import { hashToText } from './hashes.ts'
import { emitRevoked } from './report.ts'
import type { GateState } from './state.ts'

/** Who is out, and who stays all the same. */
export interface RevokeOptions {
  /** What stays: the session or connection in which somebody has just changed their password, for instance. */
  readonly except?: { readonly session: string } | { readonly connection: string }
  /** When the last credential that matches expires, where you know. @defaultValue in `maxCredentialAge` */
  readonly until?: Date
}

/** What became of a revocation. */
export interface Revoked {
  /** Open connections that the selector means, those included that stay. */
  readonly matched: number
  /** Those that were ended by it. */
  readonly closed: number
  /**
   * Each node that is there: how many it has ended, and after how many milliseconds it has said so. Null where it has not said so:
   * then it does so when it can, and until then knows that it may not know all.
   */
  readonly nodes: ReadonlyArray<{
    readonly node: string
    readonly closed: number | null
    readonly lagMs: number | null
  }>
  /** What the revocation survives: this process, a restart of the cluster's engine, or the loss of its machine. */
  readonly durable: 'memory' | 'disk' | 'replicated'
  /** Of those that were ended, how many can come back: they have no `issuedAt`, so what they hold cannot be told from a new login. */
  readonly unbounded: number
}

/** Who is out: exactly one of these. A `subject` without `issuer` is that subject of every issuer. */
export type SelectorInput =
  | { readonly subject: string | number; readonly issuer?: string | undefined }
  | { readonly session: string | number }
  | { readonly credential: string | number }
  | { readonly connection: string }
  | { readonly tag: string | number }

/** Without `issuedAt` nothing but the time of opening tells who came later, and that of the call is known roughly (ms). */
const LATE_ENOUGH = 10_000

const FOR_GOOD: readonly string[] = ['session', 'credential', 'connection']

/** Ends what a selector means and remembers it for those who come later (rule V1), on every node. */
export async function revoke(state: GateState, given: SelectorInput, options: RevokeOptions = {}): Promise<Revoked> {
  const selector = readSelector(given)
  checkRevokeOptions(options)
  const began = performance.now()
  const revocation = revocationOf(state, selector, options)
  // First of all: what takes long here must not keep the others.
  const sharing = share(state, selector, revocation)
  const { matched, closed, unbounded } = await carryOut(state, selector, revocation, false)
  const own = { node: state.node, closed, lagMs: performance.now() - began }
  const shared = await sharing
  if (shared instanceof Gate101Error) throw shared
  const others = shared.acks.map(({ node, done, lagMs }) => ({ node, closed: done?.closed ?? null, lagMs }))
  const done = shared.acks.flatMap((ack) => ack.done ?? [])
  return {
    matched: matched + sum(done.map((one) => one.matched)),
    closed: closed + sum(done.map((one) => one.closed)),
    nodes: [own, ...others],
    durable: shared.durable,
    unbounded: unbounded + sum(done.map((one) => one.unbounded)),
  }
}

/** One revocation, as every node carries it out. Times in milliseconds since the epoch. */
export interface Revoking {
  readonly except: RevokeOptions['except']
  /** Hashes of what stays with it. */
  readonly spared: readonly string[]
  readonly at: number
  readonly until: number
  /** How long ago it was asked for, where that was another node. */
  readonly late: number
}

function revocationOf(state: GateState, selector: Selector, options: RevokeOptions): Revoking {
  const at = state.clock.now()
  const until = options.until?.getTime() ?? at + lifeOf(state, selector)
  return { except: options.except, spared: exceptionsOf(state, selector, options), at, until, late: 0 }
}

/** How long what a selector means can still come, or still be open somewhere (ms). */
function lifeOf({ cluster, life, limits, maxCredentialAge }: GateState, selector: Selector): number {
  if (kindOf(selector) !== 'connection') return maxCredentialAge
  // The number of a connection is never given to another one: here it matters only while its library is still opening it.
  return cluster === undefined ? 3 * limits.deadline : Math.min(life.maxAge, maxCredentialAge)
}

/** @param remote - another node was asked for it. */
export async function carryOut(
  state: GateState,
  selector: Selector,
  revocation: Revoking,
  remote: boolean,
): Promise<Applied> {
  const began = performance.now()
  remember(state, selector, revocation)
  const matched = select(state.registry, selector)
  const by = kindOf(selector)
  const bySubject = by === 'subject' || by === 'tag'
  const leaving = matched.filter(
    (one) => one.reason === undefined && !stays(one, revocation) && !(bySubject && cameLater(state, one, revocation)),
  )
  const unbounded = bySubject ? leaving.filter(({ identity }) => issuedAtOf(identity) === undefined).length : 0
  let closed = 0
  await inSlices(leaving, (connection) => {
    if (connection.reason !== undefined) return
    closed += 1
    connection.endWith(ENDS.revoked)
  })
  const ms = performance.now() - began
  const done = { matched: matched.length, closed, unbounded }
  emitRevoked(state, { by, remote, ...done, remembered: state.revocations.size, ms })
  return done
}

function remember(state: GateState, selector: Selector, { spared, at, until }: Revoking): void {
  const kind = kindOf(selector)
  if (kind === 'connection' && select(state.registry, selector).length > 0) return
  const forGood = FOR_GOOD.includes(kind)
  const order = state.nextOrder()
  // By each of the secrets: another node may have one of them alone, and may be told of this by its hash.
  for (const hash of state.hashes)
    state.revocations.add({ key: keyOf(hash, selector), forGood, at, order, except: spared, until })
}

interface Shared {
  readonly acks: readonly Ack[]
  readonly durable: Durability
}

const HERE_ALONE: Shared = { acks: [], durable: 'memory' }

/** Never rejects: what has happened here stands in any case. */
async function share(
  state: GateState,
  selector: Selector,
  { except, spared, at, until }: Revoking,
): Promise<Shared | Gate101Error> {
  const node = state.cluster?.node
  // No other node has a connection that is here.
  if (node === undefined || ('connection' in selector && select(state.registry, selector).length > 0)) return HERE_ALONE
  const id = node.newId()
  const others = node.listen(id)
  try {
    await node.write({
      type: 'revoke',
      id,
      selector,
      except: except ?? null,
      spared: spared.map(hashToText),
      at,
      until,
    })
    return { acks: await others.written(), durable: node.durable ?? 'memory' }
  } catch (cause) {
    others.stop()
    const message =
      'revoke(): the connections of this node are ended, but the engine of the cluster has not surely kept it. It is tried again; other nodes end theirs when it is back. Call revoke() again to be sure.'
    return new Gate101Error('REVOCATION_NOT_DURABLE', message, { cause })
  }
}

const sum = (numbers: readonly number[]): number => numbers.reduce((all, one) => all + one, 0)

function keyOf(hash: Hash, selector: Selector): string {
  if ('session' in selector) return hash('session', selector.session)
  if ('credential' in selector) return hash('credential', selector.credential)
  if ('tag' in selector) return hash('tag', selector.tag)
  if ('connection' in selector) return hash('connection', selector.connection)
  const { issuer, subject } = selector
  return issuer === undefined ? hash('subject', subject) : hash('of issuer', JSON.stringify([issuer, subject]))
}

/** A connection stays with what it lives by: a re-check, or its client's next handshake, comes with that. */
function exceptionsOf({ hashes, registry }: GateState, selector: Selector, { except }: RevokeOptions): string[] {
  if (except === undefined) return []
  if ('session' in except) return hashes.map((hash) => hash('session', except.session))
  const own = hashes.map((hash) => hash('connection', except.connection))
  const connection = registry.byNumber(numberOf(except.connection))
  // A session or credential that is revoked itself is no exception to that.
  if (connection?.id !== except.connection || FOR_GOOD.includes(kindOf(selector))) return own
  const { session, credential } = connection.identity
  if (session !== undefined) own.push(...hashes.map((hash) => hash('session', session)))
  if (credential !== undefined) own.push(...hashes.map((hash) => hash('credential', credential)))
  return own
}

function stays({ identity, id }: LiveConnection, { except }: Revoking): boolean {
  if (except === undefined) return false
  return 'session' in except ? identity.session === except.session : id === except.connection
}

/** Opened after the call, with what was issued after it: a call that has reached this node late did not mean it. */
function cameLater(state: GateState, { identity, openedAtMs }: LiveConnection, { at, late }: Revoking): boolean {
  if (late === 0) return false
  const issuedAt = issuedAtOf(identity)
  // By the clock of this node, whatever that of the other one says.
  const asked = state.clock.now() - late
  if (issuedAt === undefined) return openedAtMs > asked + LATE_ENOUGH
  return Math.floor(issuedAt / 1000) > Math.floor(at / 1000) && openedAtMs > asked
}

function kindOf(selector: Selector): 'subject' | 'session' | 'credential' | 'connection' | 'tag' {
  if ('subject' in selector) return 'subject'
  if ('session' in selector) return 'session'
  if ('credential' in selector) return 'credential'
  return 'connection' in selector ? 'connection' : 'tag'
}

const SELECTORS = ['subject', 'session', 'credential', 'connection', 'tag']

/** Numbers are taken as identities take them: as their text. */
function readSelector(given: SelectorInput): Selector {
  const entries = typeof given === 'object' && given !== null ? Object.entries(given) : []
  const read = entries.filter(([name, value]) => name !== 'issuer' || value !== undefined).map(readEntry)
  const kinds = read.filter(([name]) => SELECTORS.includes(name))
  const others = read.filter(([name]) => !SELECTORS.includes(name) && !(name === 'issuer' && 'subject' in given))
  const tooLong = read.find(([, value]) => value.length > MAX_ID)
  if (tooLong !== undefined) throw wrong(`no ${tooLong[0]} is longer than ${MAX_ID} characters.`)
  if (kinds.length !== 1 || others.length > 0 || read.some(([, value]) => value === '')) {
    throw wrong(
      'give exactly one of { subject, issuer? }, { session }, { credential }, { connection } and { tag }, a non-empty string.',
    )
  }
  return Object.fromEntries(read) as unknown as Selector
}

function readEntry([name, value]: [string, unknown]): readonly [name: string, value: string] {
  if (typeof value === 'number' && Number.isFinite(value)) return [name, String(value)]
  return [name, typeof value === 'string' ? value : '']
}

function checkRevokeOptions(options: RevokeOptions): void {
  checkNames('revoke()', options, ['except', 'until'])
  const { except, until } = options
  if (until !== undefined && !(until instanceof Date && !Number.isNaN(until.getTime())))
    throw wrong('until must be a valid Date.')
  if (except === undefined) return
  const entries = typeof except === 'object' && except !== null ? Object.entries(except) : []
  const [[name, value] = []] = entries
  const isOne = entries.length === 1 && (name === 'session' || name === 'connection')
  if (!isOne || typeof value !== 'string' || value === '' || value.length > MAX_ID)
    throw wrong('except must be { session } or { connection }.')
}

function wrong(message: string): Gate101Error {
  return new Gate101Error('GATE101_CONFIG', `revoke(): ${message}`)
}
