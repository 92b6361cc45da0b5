import { DialError, type DialFacts } from './dial-error.ts'
import { explain } from './explain.ts'
import { Link, type RawSocket } from './link.ts'
import type { HeaderMap } from './headers.ts'
import type { DialRequest } from './request.ts'
import type { Plan } from './road.ts'
import type { Runtime } from './runtime.ts'

interface Globals {
  readonly WebSocket: new (url: string, protocols: readonly string[]) => RawSocket
  readonly location?: { readonly href: string }
}

/** What every browser has, and the runtimes that are like one. */
export const browser: Runtime = {
  canSendHeaders: false,
  roads: ['ticket', 'cookie', 'subprotocol', 'message'],
  fail,
  get base() {
    return (globalThis as unknown as Globals).location?.href
  },
  // fetch, WebSocket and the server check what they get.
  check: (_shown, _url, { headers = {} }) => ({ headers, plain: {} }),
  connect,
  explain,
}

/** The facts as they are: texts are too large here. */
function fail(facts: DialFacts, options?: ErrorOptions): DialError {
  const { code, url, phase = 'handshake', what, answer, closeCode } = facts
  const words = [phase, code, answer?.status ?? closeCode ?? what, url]
  return new DialError(words.filter((word) => word !== undefined).join(' '), facts, options)
}

function connect(
  request: DialRequest,
  { url, offered }: Plan,
  _credential: HeaderMap,
  signal: AbortSignal,
): Promise<Link> {
  return new Promise((resolve, reject) => {
    const { WebSocket } = globalThis as unknown as Globals
    let socket: RawSocket
    try {
      socket = new WebSocket(url.href, [...offered])
    } catch {
      // What was thrown may repeat the URL and the protocols.
      return reject(request.fail('bad_request', { what: 'arguments' }))
    }
    const link = new Link(socket)
    const drop = (): void => link.drop()
    const settle = (): void => {
      signal.removeEventListener('abort', drop)
      link.release()
    }
    signal.addEventListener('abort', drop)
    socket.addEventListener('open', () => {
      settle()
      resolve(link)
    })
    link.take({
      close: () => {
        settle()
        reject(request.fail('unknown'))
      },
    })
  })
}
