/** Who comes, as the program of the nodes takes it. `issuedAt` in milliseconds, by the clock of the gates. */
export interface Who {
  readonly subject: string
  readonly session?: string
  readonly credential?: string
  readonly issuedAt?: number
}

/** One WebSocket that was opened, as its client has seen it. */
export interface SocketRecord {
  readonly node: string
  readonly who: Who
  readonly ticket?: string | undefined
  readonly askedAt: number
  readonly openedAt: number
  closedAt?: number
  reason?: string
}

export type Out = { readonly subject: string } | { readonly session: string } | { readonly credential: string }

/** One call of `revoke()`. */
export interface RevocationRecord {
  readonly node: string
  readonly out: Out
  /** Session that stays. */
  readonly except?: string | undefined
  /** By the clock of the node that was asked. */
  readonly at: number
  readonly askedAt: number
  /** When it has resolved or rejected: this node knows of it. */
  settledAt?: number
  /** When it has resolved; where it was rejected, when the engine was there again. */
  holdsFrom?: number
  /** Nodes that have carried it out before it resolved, and those of whom nobody knows. */
  done?: readonly string[]
  unheard?: readonly string[]
}

/** What a node has said of itself. `dead` is said by those who have seen it end. */
export interface NodeEvent {
  readonly node: string
  readonly time: number
  readonly type: 'live' | 'lost' | 'accepted' | 'ended' | 'dead'
  readonly subject?: string
  readonly connection?: string
}

/** All times but `at` and `issuedAt` in milliseconds of the machine. */
export interface History {
  readonly sockets: readonly SocketRecord[]
  readonly revocations: readonly RevocationRecord[]
  readonly events: readonly NodeEvent[]
  /** When it was looked at. */
  readonly until: number
  /** How long a node that reaches the engine may take. */
  readonly bound: number
  /** Open ones of a subject, on all nodes. */
  readonly limit: number
}

const RULES = [tooLong, letIn, ticketTwice, tooMany, endedTooMuch]

/** What of the promise was not kept; nothing where all was. */
export function check(history: History): string[] {
  return RULES.flatMap((rule) => rule(history))
}

function tooLong(history: History): string[] {
  return pairs(history).flatMap(([socket, revocation]) => {
    if (!endsIt(revocation, socket)) return []
    const due = dueAt(history, socket.node, revocation)
    const late = due === undefined ? 0 : (socket.closedAt ?? history.until) - due
    return late > history.bound
      ? [`(1) open ${late} ms too long: ${told(socket)} after ${JSON.stringify(revocation)}`]
      : []
  })
}

/** When the node had to know; undefined where it did not have to until the end. */
function dueAt({ events }: History, node: string, revocation: RevocationRecord): number | undefined {
  const { holdsFrom, done = [], unheard = [], settledAt } = revocation
  if (node === revocation.node) return settledAt
  if (holdsFrom === undefined) return undefined
  const standing = events.filter((event) => event.node === node && ['live', 'lost', 'dead'].includes(event.type))
  const before = standing.filter(({ time }) => time <= holdsFrom).at(-1)
  const isAway = unheard.includes(node) || (before?.type !== 'live' && !done.includes(node))
  return isAway ? standing.find(({ type, time }) => type === 'live' && time > holdsFrom)?.time : holdsFrom
}

function letIn(history: History): string[] {
  return pairs(history).flatMap(([socket, revocation]) => {
    if (!refusesLater(revocation, socket.who)) return []
    const since = refusesFrom(history, socket.node, revocation)
    const isLate = since !== undefined && socket.askedAt > since
    return isLate ? [`(2) let in: ${told(socket)} after ${JSON.stringify(revocation)}`] : []
  })
}

/** Where it has resolved, those who do not know of it know that; where it was rejected, they hear of it when it is written. */
function refusesFrom(
  { bound }: History,
  node: string,
  { holdsFrom, ...revocation }: RevocationRecord,
): number | undefined {
  if (node === revocation.node) return revocation.settledAt
  if (holdsFrom === undefined || revocation.done !== undefined) return holdsFrom
  return holdsFrom + bound
}

function ticketTwice({ sockets }: History): string[] {
  const tickets = new Set(sockets.flatMap(({ ticket }) => ticket ?? []))
  return [...tickets].flatMap((ticket) => {
    const some = sockets.filter((socket) => socket.ticket === ticket)
    return some.length > 1 ? [`(3) a ticket was taken ${some.length} times: ${some.map(told).join(', ')}`] : []
  })
}

function tooMany({ events, limit }: History): string[] {
  const open = new Map<string, NodeEvent>()
  const said = new Set<string>()
  for (const event of events.toSorted((a, b) => a.time - b.time)) {
    const { node, type, connection, subject } = event
    const id = `${node} ${connection}`
    if (type === 'dead') for (const [other, one] of open) if (one.node === node) open.delete(other)
    if (type === 'ended') open.delete(id)
    if (type !== 'accepted') continue
    open.set(id, event)
    const count = [...open.values()].filter((one) => one.subject === subject).length
    if (count > limit) said.add(`(4) more than ${limit} open: ${subject}`)
  }
  return [...said]
}

function endedTooMuch(history: History): string[] {
  return pairs(history).flatMap(([socket, revocation]) => {
    const { who, askedAt, closedAt, reason } = socket
    if (!isMeant(revocation, who) || refusesLater(revocation, who)) return []
    if (askedAt <= (revocation.settledAt ?? Infinity) || reason !== 'revoked') return []
    const others = history.revocations.filter((other) => isMeant(other, who) && other.askedAt <= (closedAt ?? Infinity))
    if (others.some((other) => endsIt(other, socket))) return []
    return [`(5) ended by an earlier revocation: ${told(socket)} after ${JSON.stringify(revocation)}`]
  })
}

function pairs({ sockets, revocations }: History): Array<readonly [SocketRecord, RevocationRecord]> {
  return sockets.flatMap((socket) => revocations.map((revocation) => [socket, revocation] as const))
}

function isMeant({ out, except }: RevocationRecord, { subject, session, credential }: Who): boolean {
  if (except !== undefined && except === session) return false
  if ('subject' in out) return out.subject === subject
  return 'session' in out ? out.session === session : out.credential === credential
}

/** Rule V1: whoever was there, and whoever must not come back. */
function endsIt(revocation: RevocationRecord, { who, openedAt }: SocketRecord): boolean {
  return isMeant(revocation, who) && (openedAt < revocation.askedAt || refusesLater(revocation, who))
}

function refusesLater(revocation: RevocationRecord, who: Who): boolean {
  if (!isMeant(revocation, who)) return false
  if (!('subject' in revocation.out)) return true
  return who.issuedAt !== undefined && Math.floor(who.issuedAt / 1000) <= Math.floor(revocation.at / 1000)
}

function told({ node, who, openedAt, closedAt, reason }: SocketRecord): string {
  return `${JSON.stringify(who)} on ${node}, ${openedAt} to ${closedAt ?? 'the end'} (${reason ?? 'open'})`
}
