// The load: raw sockets and hand-made bytes, so that the client costs little and hides nothing.
import { once } from 'node:events'
import net from 'node:net'

const KEY = 'dGhlIHNhbXBsZSBub25jZQ=='
const ACCEPT = 's3pPLMBiTxaQ9kYGzzhZRbK+xOo='

/** @param kind 'handshake' or 'get' */
export function requestText(port, { kind = 'handshake', path = '/ws', headers = {} }) {
  const own = { Host: `127.0.0.1:${port}`, ...headers }
  if (kind === 'handshake') {
    Object.assign(own, { Upgrade: 'websocket', Connection: 'Upgrade', 'Sec-WebSocket-Version': '13', 'Sec-WebSocket-Key': KEY })
  } else {
    own.Connection = 'close'
  }
  const lines = Object.entries(own).map(([name, value]) => `${name}: ${value}\r\n`)
  return `GET ${path} HTTP/1.1\r\n${lines.join('')}\r\n`
}

/** Sends one request and resolves with the socket once the whole head of the answer is there. */
export async function ask(port, text, status) {
  const socket = net.connect({ port, host: '127.0.0.1', noDelay: true })
  socket.on('error', () => {})
  socket.write(text)
  let head = ''
  while (!head.includes('\r\n\r\n')) {
    const chunk = await Promise.race([once(socket, 'data'), once(socket, 'close')])
    if (!Buffer.isBuffer(chunk[0])) throw new Error(`closed after: ${head}`)
    head += chunk[0].toString('latin1')
  }
  if (!head.startsWith(`HTTP/1.1 ${status} `)) throw new Error(`expected ${status}, got: ${head}`)
  if (status === 101 && !head.includes(ACCEPT)) throw new Error('wrong Sec-WebSocket-Accept')
  return socket
}

/** A masked text frame (RFC 6455 section 5.2). */
export function frame(text) {
  const payload = Buffer.from(text)
  const length = payload.length
  const head = length < 126 ? Buffer.from([0x81, 0x80 | length]) : length < 65536 ? Buffer.from([0x81, 0xfe, length >> 8, length & 255]) : Buffer.from([0x81, 0xff, 0, 0, 0, 0, 0, length >> 16, (length >> 8) & 255, length & 255])
  const mask = Buffer.from([1, 2, 3, 4])
  return Buffer.concat([head, mask, payload.map((byte, n) => byte ^ mask[n & 3])])
}

async function together(count, concurrency, one) {
  let begun = 0
  const worker = async () => {
    while (begun++ < count) await one()
  }
  await Promise.all(Array.from({ length: concurrency }, worker))
}

/** `count` requests, 32 at a time; each connection is reset once it has its answer. */
export async function requests(port, job, count) {
  const text = requestText(port, job)
  const after = job.send === undefined ? undefined : frame(job.send)
  await together(count, 32, async () => {
    const socket = await ask(port, text, job.status ?? 101)
    if (after !== undefined) {
      socket.write(after)
      await once(socket, 'data')
    }
    socket.resetAndDestroy()
  })
}

/** Opens `count` connections and keeps them. */
export async function openConnections(port, job, count) {
  const text = requestText(port, job)
  const sockets = []
  await together(count, 64, async () => {
    sockets.push(await ask(port, text, 101))
  })
  return sockets
}

/** `count` echoes over 16 connections, one on its way at a time on each. */
export async function echoes(sockets, bytes, count) {
  const message = frame('x'.repeat(bytes))
  const answer = message.length - 4
  await Promise.all(
    sockets.map(async (socket) => {
      for (let n = 0; n < count / sockets.length; n++) {
        socket.write(message)
        let left = answer
        while (left > 0) left -= (await once(socket, 'data'))[0].length
      }
    }),
  )
}
