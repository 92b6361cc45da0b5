import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { createInterface } from 'node:readline'
import { test } from 'node:test'
import { WebSocketServer, type WebSocket } from 'ws'
import { freePort } from '../../support/ports.ts'
import { listen, type Listening } from '../../support/servers.ts'
import { command, ended, start } from './command.ts'

const ESCAPE = '\u001b]0;title\u0007'

async function serving(serve: (socket: WebSocket, headers: readonly string[]) => void): Promise<Listening> {
  const server = createServer()
  const wss = new WebSocketServer({ server, handleProtocols: (offered) => [...offered].at(-1) ?? false })
  wss.on('connection', (socket, req) => serve(socket, req.rawHeaders))
  return await listen(server)
}

async function refusing(status: number, headers: Record<string, string>, body: string): Promise<Listening> {
  return await listen(createServer((_req, res) => void res.writeHead(status, headers).end(body)))
}

const urlOf = ({ port }: Pick<Listening, 'port'>): string => `ws://127.0.0.1:${port}/ws`

test('--send sends, prints the first message that comes back, and closes', async () => {
  let closed: Promise<unknown[]> | undefined
  await using server = await serving((socket, headers) => {
    closed = once(socket, 'close')
    socket.on('message', (data: Buffer) => {
      const keys = headers.filter((_, index) => /^x-(api-key|tag)$/i.test(headers[index - 1] ?? ''))
      socket.send(`${data.toString()} ${keys.join()} ${socket.protocol} ${ESCAPE}\nsecond line`)
      socket.send('never printed')
    })
  })
  const args = ['-H', 'X-Api-Key: test_api_key', '-H', 'X-Tag:a', '--header', 'x-tag:  b ', '-p', 'v1', '-p', 'v2']
  const ran = await command(['dial', urlOf(server), ...args, '--send', 'hello'])
  const stdout = 'hello test_api_key,a,b v2 \\x1b]0;title\\x07\\nsecond line\n'
  assert.deepEqual(ran, { code: 0, stdout, stderr: '' })
  assert.equal((await closed)?.[0], 1005)
})

test('--send prints the message that came with the handshake, and bytes in hexadecimal', async () => {
  await using server = await serving((socket) => socket.send(Buffer.from([0, 27, 255])))
  const { code, stdout } = await command(['dial', urlOf(server), '--send=-1'])
  assert.deepEqual([code, stdout], [0, '(binary, 3 bytes) 001bff\n'])
})

test('--send ends with 2 when nothing comes back, with 1 when the server closes', async () => {
  await using silent = await serving(() => {})
  const nothing = await command(['dial', urlOf(silent), '--send', 'hello', '--timeout', '0.3'])
  assert.deepEqual(nothing, { code: 2, stdout: '', stderr: 'No message came back within 0.3 s.\n' })
  await using closing = await serving((socket) => socket.close(4403, `no${ESCAPE}`))
  const closed = await command(['dial', urlOf(closing), '--send', 'hello'])
  assert.deepEqual(closed, { code: 1, stdout: '', stderr: 'Closed by the server: 4403 no\\x1b]0;title\\x07\n' })
})

test('without --send lines are sent and messages printed, until the input ends', async () => {
  await using server = await serving((socket) => {
    socket.on('message', (data: Buffer) => socket.send(data.toString().toUpperCase()))
  })
  const { code, stdout, stderr } = await command(['dial', urlOf(server), '-p', 'v1'], 'one\ntwo\n')
  assert.deepEqual([code, stdout, stderr], [0, 'ONE\nTWO\n', 'Connected with the subprotocol v1.\n'])
})

test('without --send the end by the server is told, and ends the command', async () => {
  await using server = await serving((socket) => {
    socket.on('message', () => socket.close(4403, 'logged out'))
  })
  const child = start(['dial', urlOf(server)])
  const end = ended(child)
  child.stdin.write('one\n')
  const { code, stderr } = await end
  assert.deepEqual([code, stderr], [1, 'Connected.\nClosed by the server: 4403 logged out\n'])
})

test('Ctrl-C closes the WebSocket', async () => {
  let closed: Promise<unknown[]> | undefined
  await using server = await serving((socket) => {
    closed = once(socket, 'close')
  })
  const child = start(['dial', urlOf(server)])
  const end = ended(child)
  await once(createInterface({ input: child.stderr }), 'line')
  child.kill('SIGINT')
  assert.equal((await end).code, 0)
  assert.equal((await closed)?.[0], 1000)
})

test('a refusal is explained: status, challenge, code, message and fix', async () => {
  const advice = { error: 'missing_credential', message: `what is wrong${ESCAPE}`, fix: 'how to\nmend it' }
  await using server = await refusing(401, { 'WWW-Authenticate': 'Basic realm="a"' }, JSON.stringify(advice))
  assert.deepEqual(await command(['dial', urlOf(server)]), {
    code: 1,
    stdout: '',
    stderr: `HTTP 401 Unauthorized
  www-authenticate: Basic realm="a"
  error    missing_credential
  message  what is wrong\\x1b]0;title\\x07
  fix      how to\\nmend it
`,
  })
})

test('a refusal without advice shows where it leads and what it says, bounded and escaped', async () => {
  const lines = Array.from({ length: 30 }, (_, index) => `${index} ${'x'.repeat(index === 0 ? 600 : 0)}${ESCAPE}`)
  await using server = await refusing(302, { Location: '/login' }, lines.join('\r\n'))
  const { code, stderr } = await command(['dial', urlOf(server)])
  const shown = stderr.split('\n')
  assert.deepEqual([code, shown[0], shown[1]], [1, 'HTTP 302 Found', '  location: /login'])
  assert.match(shown[2] ?? '', /^ {2}0 x{498} \.\.\.$/)
  assert.equal(shown[3], '  1 \\x1b]0;title\\x07')
  assert.equal(shown.at(-2), '  ... 10 more lines')
})

test('no server, no WebSocket server, no answer: exit code 2', async () => {
  const dead = await command(['dial', urlOf({ port: await freePort() })])
  assert.deepEqual([dead.code, dead.stdout], [2, ''])
  assert.match(dead.stderr, /cannot be reached: ECONNREFUSED/)
  await using silent = await listen(createServer(() => {}))
  const slow = await command(['dial', urlOf(silent), '--timeout', '0.3'])
  assert.equal(slow.code, 2)
  assert.match(slow.stderr, /did not answer within 300 ms/)
})

test('colours come with a terminal or FORCE_COLOR, and never with NO_COLOR', async () => {
  await using server = await refusing(403, {}, '')
  const stderrWith = async (env: Record<string, string>): Promise<string> =>
    (await command(['dial', urlOf(server)], '', env)).stderr
  assert.equal(await stderrWith({}), 'HTTP 403 Forbidden\n')
  assert.equal(await stderrWith({ FORCE_COLOR: '1' }), '\u001b[31m\u001b[1mHTTP 403 Forbidden\u001b[22m\u001b[39m\n')
  assert.equal(await stderrWith({ FORCE_COLOR: '1', NO_COLOR: '1', NODE_NO_WARNINGS: '1' }), 'HTTP 403 Forbidden\n')
})
