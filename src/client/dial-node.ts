import type { ClientRequest, IncomingMessage } from 'node:http'
import { WebSocket } from 'ws'
import { DialError, type DialErrorCode } from './dial-error.ts'
import { holdMessages } from './hold.ts'
import { MAX_BODY, refusalError } from './refusal.ts'
import { readRequest, type DialOptions, type DialRequest } from './request.ts'

/**
 * Opens a WebSocket from Node.js, with the credentials as headers of the handshake itself. Redirects are not followed, so
 * that credentials stay with the server they were meant for.
 *
 * The result is a `ws` WebSocket, already open. Messages that came with the handshake, or soon after it, wait for the
 * first `message` listener (up to 1 MiB).
 *
 * @param url - `ws:` or `wss:` (`http:` and `https:` are taken as these). A user name and password in it are sent as Basic
 *   credentials.
 * @throws DialError in every case in which the WebSocket is not opened.
 * @example
 * ```ts
 * const socket = await dial('wss://api.example.com/live', { headers: { 'x-api-key': key }, timeout: 5000 })
 * socket.on('message', (data) => console.log(String(data)))
 * socket.send('hello')
 * ```
 */
export async function dial(url: string | URL, options: DialOptions = {}): Promise<WebSocket> {
  const request = readRequest(url, options)
  if (request.signal?.aborted === true) throw abortedError(request)
  return await settle(connect(request), request)
}

function connect({ url, shown, headers, protocols }: DialRequest): WebSocket {
  try {
    return new WebSocket(url, protocols, { headers, followRedirects: false })
  } catch {
    // What was thrown may repeat a value of the request.
    throw new DialError({
      code: 'bad_request',
      url: shown,
      message: `No handshake for ${shown} can be made of these arguments.`,
    })
  }
}

function settle(socket: WebSocket, request: DialRequest): Promise<WebSocket> {
  return new Promise((resolve, reject) => {
    let refusal: Refusal | undefined
    const finish = (error: DialError | undefined): void => {
      clearTimeout(timer)
      request.signal?.removeEventListener('abort', onAbort)
      socket.off('open', onOpen)
      socket.off('unexpected-response', onAnswer)
      if (error === undefined) return resolve(socket)
      // The listener for errors stays: ending a handshake makes ws report one more.
      reject(error)
      socket.terminate()
    }
    const onOpen = (): void => {
      socket.off('error', onError)
      holdMessages(socket)
      finish(undefined)
    }
    const onError = (error: Error): void => finish(refusal?.read() ?? failedError(request, error))
    const onAbort = (): void => finish(abortedError(request))
    const onTimeout = (): void => finish(refusal?.read() ?? timeoutError(request))
    const onAnswer = (_sent: ClientRequest, answer: IncomingMessage): void => {
      refusal = collect(request, answer, finish)
    }
    const timer = setTimeout(onTimeout, request.timeout)
    request.signal?.addEventListener('abort', onAbort)
    socket.once('open', onOpen)
    socket.on('error', onError)
    socket.once('unexpected-response', onAnswer)
  })
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
    const body = Buffer.concat(chunks).subarray(0, MAX_BODY)
    return refusalError(request.shown, answer.statusCode ?? 0, answer.headers, new TextDecoder().decode(body))
  }
  answer.on('data', (chunk: Buffer) => {
    chunks.push(chunk)
    bytes += chunk.length
    if (bytes >= MAX_BODY) done(read())
  })
  for (const event of ['end', 'error', 'close']) answer.on(event, () => done(read()))
  return { read }
}

function abortedError({ shown, signal }: DialRequest): DialError {
  return new DialError(
    { code: 'aborted', url: shown, message: `Dialling ${shown} was aborted.` },
    { cause: signal?.reason },
  )
}

function timeoutError({ shown, timeout }: DialRequest): DialError {
  return new DialError({ code: 'timeout', url: shown, message: `${shown} did not answer within ${timeout} ms.` })
}

/** Errors of the system and of TLS have a code; those of `ws` about a bad 101 have none, those of the parser one of its own. */
function failedError({ shown }: DialRequest, error: Error): DialError {
  const reason = 'code' in error && typeof error.code === 'string' ? error.code : undefined
  const code: DialErrorCode = reason === undefined || reason.startsWith('HPE_') ? 'bad_response' : 'unreachable'
  if (code === 'unreachable')
    return new DialError({ code, url: shown, reason, message: `${shown} cannot be reached: ${reason}.` })
  const what = reason ?? error.message.replace(/\.$/, '')
  return new DialError({
    code,
    url: shown,
    reason,
    message: `${shown} did not answer with a valid handshake: ${what}.`,
  })
}
