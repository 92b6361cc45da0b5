import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Server } from 'socket.io'
import { io as connect, type Socket } from 'socket.io-client'
import { listen } from '../support/servers.ts'
import { KEY, makeApp, requireKey } from './support.ts'

interface Outcome {
  readonly subject?: string
  readonly refused?: string
}

/** What a client gets: who the server says it is, or the refusal. */
async function outcome(
  port: number,
  transports: string[] | undefined,
  extraHeaders: Record<string, string>,
): Promise<Outcome> {
  const client: Socket = connect(`http://127.0.0.1:${port}`, {
    ...(transports === undefined ? {} : { transports }),
    extraHeaders,
    reconnection: false,
    forceNew: true,
  })
  try {
    return await new Promise((resolve) => {
      client.on('connect_error', (error) => resolve({ refused: error.message }))
      client.on('connect', () => client.emit('who', (subject: string) => resolve({ subject })))
    })
  } finally {
    client.close()
  }
}

describe('Socket.IO with its two lines (D5)', () => {
  for (const first of ['gate', 'Socket.IO'] as const) {
    it(`no credentials, no transport; good ones, both (${first} attached first)`, async () => {
      const { app, server, gate } = makeApp()
      if (first === 'gate') gate.attach(server, { app })
      const io = new Server(server)
      if (first === 'Socket.IO') gate.attach(server, { app })
      app.use('/socket.io', requireKey, gate.accept(io))
      io.engine.use(gate.engine(app))
      let connected = 0
      io.on('connection', (socket) => {
        connected++
        socket.on('who', (answer: (subject: string) => void) => answer('let in'))
      })
      await using listening = await listen(server)
      const { port } = listening
      for (const transports of [undefined, ['polling'], ['websocket'], ['websocket', 'polling']]) {
        const refused = await outcome(port, transports, {})
        assert.match(refused.refused ?? '', /error/, `${String(transports)} without a key`)
        assert.equal(connected, 0)
      }
      for (const transports of [undefined, ['polling'], ['websocket']]) {
        assert.deepEqual(await outcome(port, transports, KEY), { subject: 'let in' }, String(transports))
      }
      const plain = await fetch(`http://127.0.0.1:${port}/socket.io/?EIO=4&transport=polling`)
      assert.equal(plain.status, 401)
      assert.equal(plain.headers.get('www-authenticate'), 'ApiKey')
      assert.deepEqual(await plain.json(), { error: 'no key' })
      const posted = await fetch(`http://127.0.0.1:${port}/socket.io/?EIO=4&transport=polling&sid=x`, {
        method: 'POST',
        body: '40',
      })
      assert.equal(posted.status, 401)
      await io.close()
    })
  }

  it('a foreign page polls in vain, with good credentials too', async () => {
    const { app, server, gate } = makeApp()
    gate.attach(server, { app })
    const io = new Server(server)
    app.use('/socket.io', requireKey, gate.accept(io))
    io.engine.use(gate.engine(app))
    await using listening = await listen(server)
    const answer = await fetch(`http://127.0.0.1:${listening.port}/socket.io/?EIO=4&transport=polling`, {
      headers: { ...KEY, Origin: 'https://evil.example' },
    })
    assert.equal(answer.status, 403)
    await io.close()
  })

  it('without the two lines attach() warns', async () => {
    const { server, gate } = makeApp()
    const codes: string[] = []
    gate.on('warning', ({ code }) => codes.push(code))
    const io = new Server(server)
    gate.attach(server)
    await using _listening = await listen(server)
    assert.deepEqual(codes, ['unguarded_engine'])
    await io.close()
  })
})
