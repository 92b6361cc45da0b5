import { refuse, type HeaderPairs, type Refuse } from '../core/decision.ts'
import { Gate101Error } from '../core/errors.ts'
import type { Injected, TraceStep } from '../core/events.ts'
import type { Handshake, Peer } from '../core/handshake.ts'
import { refusalMessage } from '../core/refusal-message.ts'
import type { SocketFacts } from '../door/sink.ts'
import { headersFor101, headersForRefusal } from '../upgrade/headers.ts'
import { withoutCookies } from './cookies.ts'
import { decide, type Decided, type Lost } from './decide.ts'
import { toRequest } from './request.ts'
import { examine, toHeaders } from './roads.ts'
import type { GateState } from './state.ts'

/** A handshake to ask about, as data. */
export interface InjectRequest {
  /** Path and query, such as `/live?room=1`. */
  readonly url: string
  /** Beyond those of the protocol (Host, Upgrade, Connection, Sec-WebSocket-Key and -Version), which are filled in. */
  readonly headers?: Readonly<Record<string, string | readonly string[]>>
  /** Who is asking. Never one of `trustedProxies`: forwarding headers are not believed here. */
  readonly peer: { readonly address: string; readonly encrypted?: boolean; readonly localAddress?: string }
}

const KEY = 'AAAAAAAAAAAAAAAAAAAAAA=='

/** Asks the door with no network. Consumes nothing: no limit counts it, no connection is made of it. */
export async function inject(state: GateState, request: InjectRequest): Promise<Injected> {
  const sent = toHandshake(request)
  const trace: TraceStep[] = []
  let last = performance.now()
  const step = (name: TraceStep['step'], outcome: string): void => {
    const now = performance.now()
    trace.push({ step: name, outcome, ms: now - last })
    last = now
  }
  const examined = examine(state, sent)
  step('handshake', examined.type === 'refuse' ? examined.code : 'passed')
  if (examined.type === 'refuse') return ownRefusal(examined, trace)
  // To ask about a ticket would use it up.
  const carried = examined.carried?.type === 'ticket' ? refuse('invalid_ticket') : await toHeaders(state, examined)
  if ('type' in carried) return ownRefusal(carried, trace)
  const handshake = carried
  const attachment = [...state.attachments].find(({ matches }) => matches(handshake.target))
  if (attachment === undefined) {
    throw new Gate101Error(
      'GATE101_NOT_ATTACHED',
      'inject() asks the app of a server: call gate.attach(server) first, with this path among its paths.',
    )
  }
  const { lost, cancel } = deadline(state)
  const facts = factsOf(handshake.peer)
  const req = toRequest(handshake, facts)
  try {
    const decided = await decide(state, {
      handshake,
      req,
      facts,
      app: attachment.app,
      phase: 'inject',
      order: state.nextOrder(),
      framed: false,
      lost,
      trace: step,
    })
    return await toData(state, examined.carried === undefined ? decided : withoutCookies(decided), trace, lost)
  } finally {
    cancel()
  }
}

function deadline(state: GateState): { lost: Promise<Lost>; cancel: () => void } {
  let cancel: () => void = () => undefined
  const lost = new Promise<Lost>((resolve) => {
    cancel = state.clock.after(state.limits.deadline, () => {
      resolve('deadline')
    })
  })
  return { lost, cancel }
}

function toHandshake(request: InjectRequest): Handshake {
  const { url, peer, headers = {} } = request
  if (typeof url !== 'string' || typeof peer?.address !== 'string') {
    throw new Gate101Error(
      'GATE101_CONFIG',
      'inject({ url, headers?, peer: { address } }): url and peer.address are required.',
    )
  }
  const given = Object.entries(headers).flatMap(([name, value]) =>
    (typeof value === 'string' ? [value] : [...value]).map((one): readonly [string, string] => [
      name.toLowerCase(),
      one,
    ]),
  )
  const names = new Set(given.map(([name]) => name))
  const filled: HeaderPairs = [
    ['host', 'localhost'],
    ['connection', 'Upgrade'],
    ['upgrade', 'websocket'],
    ['sec-websocket-version', '13'],
    ['sec-websocket-key', KEY],
  ]
  return {
    method: 'GET',
    httpVersion: '1.1',
    target: url,
    headers: [...filled.filter(([name]) => !names.has(name)), ...given],
    peer: {
      address: peer.address,
      port: 0,
      localAddress: peer.localAddress ?? '127.0.0.1',
      localPort: 0,
      encrypted: peer.encrypted ?? false,
      certified: false,
      injected: true,
    },
  }
}

function factsOf(peer: Peer): SocketFacts {
  const family = peer.address.includes(':') ? 'IPv6' : 'IPv4'
  return {
    remoteAddress: peer.address,
    remotePort: 0,
    remoteFamily: family,
    localAddress: peer.localAddress,
    localPort: 0,
    encrypted: peer.encrypted,
  }
}

function ownRefusal(refusal: Refuse, trace: readonly TraceStep[]): Injected {
  const { status, headers, body } = refusalMessage(refusal)
  return {
    type: 'refuse',
    code: refusal.code,
    status,
    headers: headersForRefusal(headers, status),
    body: Buffer.from(body),
    trace,
  }
}

async function toData(
  state: GateState,
  decided: Decided,
  trace: readonly TraceStep[],
  lost: Promise<Lost>,
): Promise<Injected> {
  if (decided.type === 'accept') {
    const { identity, headers } = decided.decision
    return { type: 'accept', identity, headers: headersFor101(headers), trace }
  }
  if (decided.type === 'refuse') return ownRefusal(decided, trace)
  if (decided.type === 'gone') throw new Gate101Error('GATE101_NOT_ATTACHED', 'inject(): the request was aborted.')
  const { head, body, run } = decided
  const chunks: Buffer[] = []
  let left = state.limits.answer
  const done = new Promise<void>((resolve) => {
    body.pipe(
      (chunk, taken) => {
        left -= chunk.length
        if (left < 0) return resolve()
        chunks.push(chunk)
        taken()
      },
      () => {
        resolve()
      },
    )
  })
  await Promise.race([done, lost])
  run.close()
  return {
    type: 'refuse',
    code: 'app',
    status: head.status,
    headers: headersForRefusal(head.headers, head.status),
    body: Buffer.concat(chunks),
    trace,
  }
}
