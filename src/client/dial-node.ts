import type { ClientRequest, IncomingMessage } from 'node:http'
import { WebSocket } from 'ws'
import { DialError, type DialErrorCode } from './dial-error.ts'
import { failInNode } from './describe-node.ts'
import { dialOn, webSocketClassOn, type WebSocketClass, type WebSocketClassOptions } from './dial.ts'
import { mergeHeaders, type HeaderMap } from './headers.ts'
import { Link } from './link.ts'
import { MAX_BODY, readAdvice } from './refusal.ts'
import { checkHeaders, checkOptions, checkProtocols } from './request-node.ts'
import type { DialOptions, DialRequest } from './request.ts'
import type { Plan } from './road.ts'
import type { Runtime } from './runtime.ts'
import type { DialSocket } from './socket.ts'

const node: Runtime = {
  canSendHeaders: true,
  roads: ['headers'],
  fail: failInNode,
  base: undefined,
  check: checkOptions,
  checkHeaders,
  connect: async (request, plan, credential, signal) =>
    await settle(start(request, plan, credential), { request, plan, signal }),
}

/**
 * Opens a WebSocket and resolves once the server has let it in.
 *
 * In Node, Deno and Bun the credential travels as headers of the handshake itself. Browsers cannot set any: there it
 * travels as a cookie, in a ticket, in a subprotocol or in a first message ({@link DialOptions.roads}), and a refusal is
 * asked for where the browser hides it. Redirects are not followed, so that credentials stay with the server they were
 * meant for.
 *
 * @param url - `ws:` or `wss:` (`http:` and `https:` are taken as these); in browsers also relative to the page. A user
 *   name and password in it are a credential, sent as Basic.
 * @throws DialError in every case in which the WebSocket is not opened.
 * @example
 * ```ts
 * const socket = await dial('wss://api.example.com/live', { credentials: async () => ({ token: await freshToken() }) })
 * socket.on('message', ({ data }) => console.log(data))
 * socket.send('hello')
 * ```
 */
export async function dial(url: string | URL, options: DialOptions = {}): Promise<DialSocket> {
  return await dialOn(node, url, options)
}

/**
 * A class to give to a library that makes its WebSockets itself: it takes `(url, protocols)`, and each of its WebSockets
 * brings the credential in as {@link dial} does. It does not come back after a loss: such libraries do that themselves.
 *
 * A refused credential is the close code 4401 or 4403, whatever road it took; `event.error` of `error` is a DialError.
 *
 * @example
 * ```ts
 * const webSocketImpl = createWebSocketClass({ credentials: async () => ({ token: await freshToken() }) })
 * const client = createClient({ url: 'wss://api.example.com/graphql', webSocketImpl }) // of graphql-ws
 * ```
 */
export function createWebSocketClass(options: WebSocketClassOptions = {}): WebSocketClass {
  return webSocketClassOn(node, options)
}

function start({ shown, plain }: DialRequest, plan: Plan, credential: HeaderMap): WebSocket {
  const { url, offered, road } = plan
  checkProtocols(shown, offered)
  const headers = Object.entries(mergeHeaders(plain, road === 'headers' ? credential : {}))
  const fields = headers.map(([name, value]) => [name, typeof value === 'string' ? value : [...value]])
  try {
    return new WebSocket(url, [...offered], { headers: Object.fromEntries(fields), followRedirects: false })
  } catch {
    // What was thrown may repeat a value of the request.
    throw failInNode({ code: 'bad_request', url: shown, what: 'arguments' })
  }
}

interface Attempt {
  readonly request: DialRequest
  readonly plan: Plan
  readonly signal: AbortSignal
}

function settle(socket: WebSocket, { request, plan, signal }: Attempt): Promise<Link> {
  return new Promise((resolve, reject) => {
    let refusal: Refusal | undefined
    const finish = (error: Error | undefined): void => {
      signal.removeEventListener('abort', onAbort)
      socket.off('open', onOpen)
      socket.off('unexpected-response', onAnswer)
      if (error === undefined) return resolve(linkOf(socket, plan))
      // The listener for errors stays: ending a handshake makes ws report one more.
      reject(error)
      socket.terminate()
    }
    const onOpen = (): void => {
      socket.off('error', onError)
      finish(undefined)
    }
    const onError = (error: Error): void => finish(refusal?.read() ?? failedError(request, error))
    const onAbort = (): void => finish(refusal?.read() ?? (signal.reason as Error))
    const onAnswer = (_sent: ClientRequest, answer: IncomingMessage): void => {
      refusal = collect(request, answer, finish)
    }
    signal.addEventListener('abort', onAbort)
    socket.once('open', onOpen)
    socket.on('error', onError)
    socket.once('unexpected-response', onAnswer)
  })
}

/** For the first turn nothing is read: what the caller attaches, and says of bytes, right after the await, holds for all. */
function linkOf(socket: WebSocket, plan: Plan): Link {
  const link = new Link(socket)
  // ws reports a broken protocol here, and then closes.
  socket.on('error', () => (link.isBroken = true))
  if (plan.message === undefined) {
    socket.pause()
    setImmediate(() => socket.resume())
  }
  return link
}

interface Refusal {
  /** The refusal with as much of its body as has come. */
  read(): DialError
}

/** Reads a refusal to its end, or to as much as is kept. */
function collect(request: DialRequest, answer: IncomingMessage, done: (error: DialError) => void): Refusal {
  const chunks: Uint8Array[] = []
  let bytes = 0
  const read = (): DialError => {
    const { statusCode: status = 0, headers } = answer
    const body = new TextDecoder().decode(Buffer.concat(chunks).subarray(0, MAX_BODY))
    const facts = { status, headers, body, advice: readAdvice(body) }
    return failInNode({ code: 'refused', url: request.shown, answer: facts })
  }
  answer.on('data', (chunk: Buffer) => {
    chunks.push(chunk)
    bytes += chunk.length
    if (bytes >= MAX_BODY) done(read())
  })
  for (const event of ['end', 'error', 'close']) answer.on(event, () => done(read()))
  return { read }
}

/** Errors of the system and of TLS have a code; those of `ws` about a bad 101 have none, those of the parser one of its own. */
function failedError({ shown }: DialRequest, error: Error): DialError {
  const reason = 'code' in error && typeof error.code === 'string' ? error.code : undefined
  const code: DialErrorCode = reason === undefined || reason.startsWith('HPE_') ? 'bad_response' : 'unreachable'
  return failInNode({ code, url: shown, reason, what: error.message.replace(/\.$/, '') })
}
