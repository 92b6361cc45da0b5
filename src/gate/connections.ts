import { Gate101Error } from '../core/errors.ts'
import type { Connection, LiveConnection } from '../connections/connection.ts'
import { checkNames } from './check-names.ts'
import type { GateState } from './state.ts'

/** Which connections a list holds; all of these must be so. */
export interface ConnectionFilter {
  readonly subject?: string
  readonly issuer?: string
  readonly session?: string
  readonly tag?: string
  /** Those behind this one: `next` of the page before. */
  readonly after?: string
  /** At most so many: 1 to 200. @defaultValue 50 */
  readonly limit?: number
}

/** One open connection of some node, without what opens doors. */
export interface ConnectionInfo {
  readonly id: string
  readonly node: string
  readonly issuer: string
  readonly subject: string
  /** Stands for the session id: the same for the same session, as in events. */
  readonly session?: string
  readonly tags: readonly string[]
  readonly openedAt: Date
  readonly expiresAt: Date | null
}

export interface ConnectionPage {
  readonly items: readonly ConnectionInfo[]
  /** For the next page; undefined where this is the last one. */
  readonly next: string | undefined
  /** Nodes that have not answered: their connections are not in it. */
  readonly missing: readonly string[]
}

/** The open connections: those of this node one by one, those of all nodes as pages. */
export interface Connections<Claims = unknown> extends Iterable<Connection<Claims>> {
  /** On this node. */
  readonly size: number
  /**
   * One page of the connections of all nodes, by id. Without a cluster: of this node.
   *
   * @throws Gate101Error `GATE101_CONFIG` for a wrong filter.
   * @example
   * ```ts
   * const { items, next, missing } = await gate.connections.list({ subject: user.id })
   * ```
   */
  list(filter?: ConnectionFilter): Promise<ConnectionPage>
}

export function connectionsOf<Claims>(stateOf: () => GateState): Connections<Claims> {
  return {
    get size() {
      return stateOf().registry.size
    },
    [Symbol.iterator]: () => stateOf().registry.values() as IterableIterator<Connection<Claims>>,
    list: (filter = {}) => listAll(stateOf(), filter),
  }
}

/** As it travels between nodes: times as numbers. */
type Row = Omit<ConnectionInfo, 'openedAt' | 'expiresAt'> & {
  readonly openedAt: number
  readonly expiresAt: number | null
}

const TEXTS = ['subject', 'issuer', 'session', 'tag', 'after'] as const
const MAX_LIMIT = 200
/** As JSON, in bytes: it goes to the others in one message. */
const MAX_FILTER = 4096

async function listAll(state: GateState, filter: ConnectionFilter): Promise<ConnectionPage> {
  const limit = checkFilter(filter)
  const own = rowsOf(state, filter, limit)
  const { answers, missing } = (await state.cluster?.node.ask(filter)) ?? { answers: [], missing: [] }
  const others = answers.flatMap((rows) => rows as readonly Row[])
  const all = [...own, ...others].toSorted((a, b) => (a.id < b.id ? -1 : 1))
  const items = all.slice(0, limit).map(toInfo)
  return { items, next: all.length > limit ? items.at(-1)?.id : undefined, missing }
}

/** What this node answers to another one. */
export function answerTo(state: GateState, question: unknown): readonly Row[] {
  const filter = question as ConnectionFilter
  return rowsOf(state, filter, checkFilter(filter))
}

/** One more than asked for: it shows whether there is a next page. */
function rowsOf(state: GateState, filter: ConnectionFilter, limit: number): Row[] {
  const found = [...candidates(state, filter)].filter((connection) => matches(connection, filter))
  const rows = found.map((connection) => rowOf(state, connection)).toSorted((a, b) => (a.id < b.id ? -1 : 1))
  return rows.slice(0, limit + 1)
}

function candidates({ registry }: GateState, { subject, session, tag }: ConnectionFilter): Iterable<LiveConnection> {
  if (session !== undefined) return registry.find('session', session)
  if (subject !== undefined) return registry.find('subject', subject)
  return tag === undefined ? registry.values() : registry.find('tag', tag)
}

function matches({ id, identity }: LiveConnection, filter: ConnectionFilter): boolean {
  const { subject, issuer, session, tag, after } = filter
  if (after !== undefined && id <= after) return false
  if (subject !== undefined && identity.subject !== subject) return false
  if (issuer !== undefined && identity.issuer !== issuer) return false
  if (session !== undefined && identity.session !== session) return false
  return tag === undefined || identity.tags?.includes(tag) === true
}

function rowOf({ node, sessionTag }: GateState, { id, identity, openedAtMs, expiresAt }: LiveConnection): Row {
  const { issuer, subject, session, tags = [] } = identity
  const row = { id, node, issuer, subject, tags, openedAt: openedAtMs, expiresAt: expiresAt?.getTime() ?? null }
  return session === undefined ? row : { ...row, session: sessionTag(session) }
}

function toInfo({ openedAt, expiresAt, ...row }: Row): ConnectionInfo {
  return { ...row, openedAt: new Date(openedAt), expiresAt: expiresAt === null ? null : new Date(expiresAt) }
}

function checkFilter(filter: ConnectionFilter): number {
  checkNames('connections.list()', filter, [...TEXTS, 'limit'])
  const { limit = 50 } = filter
  const isWrong = TEXTS.some((name) => filter[name] !== undefined && typeof filter[name] !== 'string')
  if (isWrong) throw wrong(`${TEXTS.join(', ')} must be strings.`)
  if (Buffer.byteLength(JSON.stringify(filter)) > MAX_FILTER)
    throw wrong(`the filter is longer than ${MAX_FILTER} bytes.`)
  if (Number.isSafeInteger(limit) && limit >= 1 && limit <= MAX_LIMIT) return limit
  throw wrong(`limit must be a whole number from 1 to ${MAX_LIMIT}.`)
}

function wrong(message: string): Gate101Error {
  return new Gate101Error('GATE101_CONFIG', `connections.list(): ${message}`)
}
