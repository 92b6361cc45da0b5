import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, IncomingMessage, type Server } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import { Socket } from 'node:net'
import { PassThrough, type Duplex } from 'node:stream'
import { describe, it } from 'node:test'
import { connect, type ConnectionOptions, type TLSSocket } from 'node:tls'
import { valuesOf, type Handshake } from '../../../src/core/handshake.ts'
import { readHandshake } from '../../../src/handshake/facts.ts'
import { makeCertificate } from '../../support/certs.ts'
import { findOpenssl, skipWithout } from '../../support/debian.ts'
import { connectRaw } from '../../support/raw.ts'
import { listen } from '../../support/servers.ts'

const HEAD = 'Host: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n'

/** What `look` finds in the first upgrade that the server hears of. */
async function nextUpgrade<Found>(
  server: Server,
  look: (handshake: Handshake, socket: Duplex) => Found,
): Promise<Found> {
  const [req, socket] = (await once(server, 'upgrade')) as [IncomingMessage, Duplex]
  try {
    return look(readHandshake(req, socket), socket)
  } finally {
    socket.destroy()
  }
}

describe('readHandshake', () => {
  const ask = async (head: string): Promise<{ handshake: Handshake; peer: object; clientPort: number | undefined }> => {
    const server = createServer()
    await using listening = await listen(server)
    await using client = await connectRaw({ port: listening.port })
    const clientPort = client.socket.localPort
    const heard = nextUpgrade(server, (handshake) => {
      const { address, port, localAddress, localPort, encrypted, certified } = handshake.peer
      assert.equal(localPort, listening.port)
      return { handshake, peer: { address, port, localAddress, encrypted, certified }, clientPort }
    })
    client.send(`${head}\r\n`)
    return await heard
  }

  it('keeps every header line in order, with names in lower case and values as they came', async () => {
    const { handshake } = await ask(`GET /ws HTTP/1.1\r\n${HEAD}X-API-Key: One\r\nx-api-key: Two\r\n__proto__: x\r\n`)
    assert.deepEqual(handshake.headers, [
      ['host', 'a'],
      ['upgrade', 'websocket'],
      ['connection', 'Upgrade'],
      ['x-api-key', 'One'],
      ['x-api-key', 'Two'],
      ['__proto__', 'x'],
    ])
    assert.deepEqual(valuesOf(handshake, 'x-api-key'), ['One', 'Two'])
  })
  it('keeps method, version and target as they came', async () => {
    const { handshake } = await ask(`POST //evil/../ws?a=%zz HTTP/1.0\r\n${HEAD}`)
    assert.equal(handshake.method, 'POST')
    assert.equal(handshake.httpVersion, '1.0')
    assert.equal(handshake.target, '//evil/../ws?a=%zz')
  })
  it('knows both ends of the connection', async () => {
    const { peer, clientPort } = await ask(`GET / HTTP/1.1\r\n${HEAD}`)
    const address = '127.0.0.1'
    assert.deepEqual(peer, { address, port: clientPort, localAddress: address, encrypted: false, certified: false })
  })
  it('takes a socket for certified only with all that it takes', () => {
    const whole = { encrypted: true, authorized: true, getPeerCertificate: () => ({ subject: {} }) }
    const certified = (facts: object): boolean =>
      readHandshake(new IncomingMessage(new Socket()), Object.assign(new PassThrough(), facts)).peer.certified
    assert.equal(certified(whole), true)
    assert.equal(certified({ ...whole, encrypted: false }), false)
    assert.equal(certified({ ...whole, encrypted: 'yes' }), false)
    assert.equal(certified({ ...whole, authorized: undefined }), false)
    assert.equal(certified({ ...whole, getPeerCertificate: undefined }), false)
    for (const none of [null, undefined, {}])
      assert.equal(certified({ ...whole, getPeerCertificate: () => none }), false)
  })
  it('takes a stream that is no socket', () => {
    const { peer } = readHandshake(new IncomingMessage(new Socket()), new PassThrough())
    const { address, port, localAddress, localPort, encrypted, certified } = peer
    assert.deepEqual([address, port, localAddress, localPort, encrypted, certified], ['', 0, '', 0, false, false])
  })
})

describe('certified', { skip: skipWithout(findOpenssl()) }, () => {
  const certified = async (options: ConnectionOptions, known: { cert: string }, tls: object): Promise<boolean[]> => {
    const server = createTlsServer({ ...tls, requestCert: true, rejectUnauthorized: false, ca: known.cert })
    await using listening = await listen(server)
    const found: boolean[] = []
    let session: Buffer | undefined
    // Twice: the second time with the session of the first.
    for (let n = 0; n < 2; n++) {
      const heard = nextUpgrade(server, ({ peer }, socket) => [peer.certified, (socket as TLSSocket).isSessionReused()])
      const resumed = session === undefined ? {} : { session }
      const client = connect({
        ...options,
        ...resumed,
        port: listening.port,
        host: '127.0.0.1',
        rejectUnauthorized: false,
      })
      client.on('error', () => {})
      client.on('session', (next) => (session = next))
      const closed = once(client, 'close')
      client.write(`GET / HTTP/1.1\r\n${HEAD}\r\n`)
      const [is, reused] = await heard
      assert.equal(reused, n === 1 && options.maxVersion === 'TLSv1.2')
      found.push(is === true)
      await closed
    }
    return found
  }
  it('is false for a key that both sides share, whether or not Node calls such a client authorized', async () => {
    const psk = Buffer.alloc(32, 1)
    const shared = { ciphers: 'PSK', maxVersion: 'TLSv1.2' } as const
    const server = createTlsServer({ ...shared, requestCert: true, rejectUnauthorized: false, pskCallback: () => psk })
    await using listening = await listen(server)
    const heard = nextUpgrade(server, ({ peer }) => peer.certified)
    const pskCallback = (): { psk: Buffer; identity: string } => ({ psk, identity: 'a' })
    const checkServerIdentity = (): undefined => undefined
    const client = connect({ ...shared, port: listening.port, host: '127.0.0.1', pskCallback, checkServerIdentity })
    client.on('error', () => {})
    client.write(`GET / HTTP/1.1\r\n${HEAD}\r\n`)
    assert.equal(await heard, false)
    client.destroy()
  })
  const authority = makeCertificate('client')
  const stranger = makeCertificate('stranger')
  const own = makeCertificate()
  for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
    it(`is true for a certificate that the server can verify (${maxVersion})`, async () =>
      assert.deepEqual(await certified({ ...authority, maxVersion }, authority, own), [true, true]))
    it(`is false for one that it cannot (${maxVersion})`, async () =>
      assert.deepEqual(await certified({ ...stranger, maxVersion }, authority, own), [false, false]))
    it(`is false for none, on a resumed session too (${maxVersion})`, async () =>
      assert.deepEqual(await certified({ maxVersion }, authority, own), [false, false]))
  }
})
