import assert from 'node:assert/strict'
import { closeFrame, frame, OPCODE, type Frame } from '../support/frames.ts'
import {
  connectRaw,
  handshake,
  handshakeText,
  rawRequest,
  type HandshakeText,
  type RawConnection,
} from '../support/raw.ts'
import type { Hello } from './apps/types.ts'

export type Headers = NonNullable<HandshakeText['headers']>

export const ORIGIN = 'http://localhost'

/** What came of one try to connect. */
export interface Outcome {
  readonly opened: Hello | undefined
  /** Of the refusal: of the HTTP answer, or of the answer to the message. 0 for a Close without one. */
  readonly status: number
  /** `error` of the gate's own refusal, `app` for one of the app's. */
  readonly code: string | undefined
  readonly closeCode: number | undefined
  /** Everything that the server sent, as text. */
  readonly wire: string
}

const PLAIN: Headers = {
  Upgrade: null,
  Connection: 'close',
  'Sec-WebSocket-Key': null,
  'Sec-WebSocket-Version': null,
}

/** A plain request. */
export async function ask(
  port: number,
  method: string,
  target: string,
  headers: Headers = {},
  body = '',
): ReturnType<typeof rawRequest> {
  const length = method === 'GET' ? {} : { 'Content-Length': String(Buffer.byteLength(body)) }
  const lines = handshake({ method, target, headers: { ...PLAIN, ...length, ...headers } })
  return await rawRequest({ port, lines, bytes: body })
}

/** The cookies of a new login. */
export async function logIn(port: number, user: string): Promise<string> {
  const response = await ask(port, 'POST', `/login?user=${user}`)
  assert.ok(response.status === 200 || response.status === 201, response.text)
  const cookies = response.values('set-cookie').map((cookie) => cookie.split(';')[0])
  assert.ok(cookies.some((cookie) => cookie?.startsWith('sid=')))
  return cookies.join('; ')
}

/** Whom the app takes a plain request for, or the status of its refusal. */
export async function whoIs(
  port: number,
  target: string,
  headers: Headers,
): Promise<{ readonly status: number; readonly subject: string | undefined }> {
  const { status, text } = await ask(port, 'GET', target, headers)
  return { status, subject: status === 200 ? (JSON.parse(text) as Hello).subject : undefined }
}

export async function mint(port: number, target: string, headers: Headers): ReturnType<typeof rawRequest> {
  return await ask(port, 'POST', target, { 'Content-Type': 'application/json', Origin: ORIGIN, ...headers }, '{}')
}

/** One handshake, and what comes of it. */
export async function dial(port: number, target: string, headers: Headers): Promise<Outcome> {
  await using connection = await connectRaw({ port })
  connection.send(handshakeText({ target, headers }))
  const refused = await refusalOf(connection)
  if (refused !== undefined) return refused
  const [first] = await connection.frames(1)
  await leave(connection)
  return opened(connection, first)
}

/** A handshake, and a first message on the socket that waits for it. */
export async function converse(
  port: number,
  target: string,
  headers: Headers,
  message: string | Uint8Array,
): Promise<Outcome> {
  await using connection = await connectRaw({ port })
  connection.send(handshakeText({ target, headers }))
  const refused = await refusalOf(connection)
  if (refused !== undefined) return refused
  connection.send(frame(message))
  return await verdictOf(connection)
}

/** Reads the answer to an auth message, and what follows it. */
export async function verdictOf(connection: RawConnection): Promise<Outcome> {
  const [first] = await connection.frames(1)
  assert.ok(first)
  if (first.opcode === OPCODE.close) return closed(connection, 0, first)
  const said = JSON.parse(first.text) as { type: string; status: number; subject: string }
  const [, second] = await connection.frames(2)
  assert.ok(second)
  if (said.type === 'auth_error') return closed(connection, said.status, second)
  assert.equal(said.type, 'auth_ok', first.text)
  await leave(connection)
  const outcome = opened(connection, second)
  assert.equal(outcome.opened?.subject, said.subject)
  return outcome
}

async function refusalOf(connection: RawConnection): Promise<Outcome | undefined> {
  const { status, body } = await connection.response()
  if (status === 101) return undefined
  const wire = connection.received().toString('latin1')
  return { opened: undefined, status, code: codeOf(body), closeCode: undefined, wire }
}

export function codeOf(body: Uint8Array): string {
  try {
    const { error, fix } = JSON.parse(Buffer.from(body).toString()) as { error?: string; fix?: string }
    return error !== undefined && fix !== undefined ? error : 'app'
  } catch {
    return 'app'
  }
}

/** Ends it as clients do, and hears the answer: nothing is left running on either side. */
async function leave(connection: RawConnection): Promise<void> {
  connection.send(closeFrame(1000))
  await connection.ended()
}

function opened(connection: RawConnection, first: Frame | undefined): Outcome {
  const wire = connection.received().toString('latin1')
  assert.equal(first?.opcode, OPCODE.text, wire)
  return { opened: JSON.parse(first.text) as Hello, status: 101, code: undefined, closeCode: undefined, wire }
}

function closed(connection: RawConnection, status: number, last: Frame): Outcome {
  assert.equal(last.opcode, OPCODE.close, last.text)
  const wire = connection.received().toString('latin1')
  return { opened: undefined, status, code: last.text, closeCode: last.closeCode, wire }
}

/** The cookies that a server tries to set in what it sent. */
export const setCookiesIn = ({ wire }: Pick<Outcome, 'wire'>): string[] => wire.match(/set-cookie:.*/gi) ?? []
