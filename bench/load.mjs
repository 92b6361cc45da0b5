// The load: raw sockets and hand-made bytes, so that the client costs little and hides nothing. Each answer is checked:
// status, Sec-WebSocket-Accept, and that the frames which the job waits for have come.
import { createHash, randomBytes } from 'node:crypto'
import net from 'node:net'
import { CLOSE, frame, FrameCounter } from './frames.mjs'

const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'
const NONCES = Array.from({ length: 64 }, () => {
  const key = randomBytes(16).toString('base64')
  return {
    key,
    accept: createHash('sha1')
      .update(key + GUID)
      .digest('base64'),
  }
})

function requestText(port, { kind = 'handshake', path = '/ws', headers = {} }, key) {
  const lines = [`GET ${path} HTTP/1.1`, `Host: 127.0.0.1:${port}`]
  if (kind === 'handshake') {
    lines.push('Upgrade: websocket', 'Connection: Upgrade', 'Sec-WebSocket-Version: 13', `Sec-WebSocket-Key: ${key}`)
  }
  if (kind === 'get') lines.push('Connection: close')
  for (const [name, value] of Object.entries(headers))
    lines.push(`${name}: ${value === 'same-origin' ? `http://127.0.0.1:${port}` : value}`)
  return `${lines.join('\r\n')}\r\n\r\n`
}

/**
 * A job made ready for one server: bytes to send, and what has to come back. `%n` in its headers is the number of the client,
 * from 0 on.
 */
export function prepare(port, job) {
  const status = job.status ?? 101
  const requests = NONCES.map(({ key, accept }) => {
    const text = requestText(port, job, key)
    return { text, bytes: Buffer.from(text, 'latin1'), accept, numbered: text.includes('%n') }
  })
  const steps = (job.steps ?? []).map(({ send, await: count }) => ({
    bytes: send === undefined ? undefined : frame(send),
    count,
  }))
  const mint = job.ticket === undefined ? undefined : mintText(port, job.ticket)
  return { port, status, requests, steps, mint, until: job.until, next: 0 }
}

function mintText(port, { path, headers }) {
  const lines = [
    `POST ${path} HTTP/1.1`,
    `Host: 127.0.0.1:${port}`,
    'Content-Type: application/json',
    'Content-Length: 2',
  ]
  for (const [name, value] of Object.entries(headers))
    lines.push(`${name}: ${value === 'same-origin' ? `http://127.0.0.1:${port}` : value}`)
  return `${lines.join('\r\n')}\r\n\r\n{}`
}

/** One connection of the load, from the first byte to the end of what its job waits for. */
class Client {
  frames = new FrameCounter()
  #ready
  #accept
  #head = ''
  #step = -1
  #target = 0
  #minting
  #done

  constructor(ready, done, options = {}) {
    this.#ready = ready
    this.#done = done
    this.number = ready.next++
    const request = ready.requests[this.number & 63]
    const bytes = request.numbered ? Buffer.from(request.text.replace('%n', this.number), 'latin1') : request.bytes
    this.#accept = request.accept
    this.#minting = ready.mint === undefined ? undefined : bytes
    this.socket = net.connect({ port: ready.port, host: '127.0.0.1', noDelay: true, ...options })
    this.socket.on('data', (chunk) => this.#onData(chunk))
    this.socket.on('error', () => {})
    this.socket.on('end', () => this.#onEnd())
    this.socket.on('close', () => this.#fail('closed early'))
    this.socket.write(ready.mint ?? bytes)
  }

  #fail(why) {
    const done = this.#done
    this.#done = undefined
    done?.(new Error(`${why} (port ${this.#ready.port}), answer so far: ${JSON.stringify(this.#head.slice(0, 400))}`))
  }

  #finish() {
    const done = this.#done
    this.#done = undefined
    done?.(undefined, this)
  }

  #onData(chunk) {
    if (this.#step >= 0) return this.#onFrames(chunk)
    const text = chunk.toString('latin1')
    if (this.#minting !== undefined) return this.#onTicket(text)
    const before = this.#head.length
    this.#head += text
    const end = this.#head.indexOf('\r\n\r\n')
    if (end < 0) return
    const problem = this.#problem()
    if (problem !== undefined) {
      this.#fail(problem)
      return this.socket.destroy()
    }
    if (this.#ready.status !== 101) return this.#ready.until === 'head' ? this.#finish() : undefined // else until FIN
    this.#step = 0
    this.#startStep()
    const rest = chunk.subarray(end + 4 - before)
    if (rest.length > 0) this.#onFrames(rest)
  }

  /** The answer to the request for a ticket; the handshake follows on the same connection. */
  #onTicket(text) {
    this.#head += text
    const url = /"url":"([^"]+)"/.exec(this.#head)?.[1]
    if (url === undefined) return this.#head.includes('\r\n\r\n{"error') ? this.#fail('no ticket') : undefined
    const bytes = this.#minting.toString('latin1').replace(/^GET \S+/, `GET ${url}`)
    this.#minting = undefined
    this.#head = ''
    this.socket.write(bytes, 'latin1')
  }

  #problem() {
    const { status } = this.#ready
    if (!this.#head.startsWith(`HTTP/1.1 ${status} `)) return `expected ${status}`
    if (status === 101 && !this.#head.includes(this.#accept)) return 'wrong Sec-WebSocket-Accept'
    return undefined
  }

  #startStep() {
    const step = this.#ready.steps[this.#step]
    if (step === undefined) return this.#ready.until === 'close' ? undefined : this.#finish()
    this.#target += step.count
    if (step.bytes !== undefined) this.socket.write(step.bytes)
  }

  #onFrames(chunk) {
    this.frames.push(chunk)
    if (this.onMessage !== undefined) return this.onMessage()
    if (this.#done === undefined) return
    if (this.frames.closed) return this.#ready.until === 'close' ? this.socket.write(CLOSE) : this.#fail('Close frame')
    if (this.#step >= this.#ready.steps.length || this.frames.messages < this.#target || !this.frames.whole) return
    this.#step++
    this.#startStep()
  }

  #onEnd() {
    if (this.#ready.status !== 101 ? this.#head.includes('\r\n\r\n') : this.frames.closed) this.#finish()
  }
}

const PATIENCE = 30_000

/** Calls `one(settled)` `count` times, `concurrency` at a time. */
function together(count, concurrency, one) {
  let timer
  const all = new Promise((resolve, reject) => {
    let begun = 0
    let left = count
    timer = setTimeout(() => reject(new Error(`${left} of ${count} have no end after ${PATIENCE} ms`)), PATIENCE)
    const start = () => {
      if (begun === count) return
      begun++
      one((error) => {
        if (error !== undefined) return reject(error)
        if (--left === 0) return resolve()
        start()
      })
    }
    if (count === 0) resolve()
    for (let n = 0; n < concurrency; n++) start()
  })
  return all.finally(() => clearTimeout(timer))
}

/** `count` new connections that do their job and stay. Refused ones are closed when the server has closed its side. */
export async function open(ready, count, concurrency = 32) {
  const clients = []
  await together(count, concurrency, (settled) => {
    new Client(ready, (error, client) => {
      if (error !== undefined) return settled(error)
      if (ready.status === 101 && ready.until === undefined) clients.push(client)
      else client.socket.destroy()
      settled()
    })
  })
  return clients
}

/** Refused clients that keep their own side open. @returns the sockets, each with its answer */
export async function openAndStay(ready, count) {
  const clients = []
  await together(count, 32, (settled) => {
    new Client({ ...ready, until: ready.until ?? 'head' }, (error, client) => (clients.push(client), settled(error)), {
      allowHalfOpen: true,
    })
  })
  return clients
}

/** Closing handshakes. */
export async function close(clients) {
  const queue = [...clients]
  await together(queue.length, 32, (settled) => {
    const { socket } = queue.pop()
    const gone = () => {
      socket.off('end', gone)
      socket.off('close', gone)
      socket.destroy()
      settled()
    }
    if (socket.destroyed || socket.readableEnded) return gone()
    socket.on('end', gone)
    socket.on('close', gone)
    socket.write(CLOSE)
  })
}

export function drop(clients) {
  for (const { socket } of clients) socket.resetAndDestroy()
}

/** `count` messages over the open connections, one on its way at a time on each. */
export function exchange(clients, { message, replies = 1 }, count) {
  const bytes = frame(message)
  const each = Math.ceil(count / clients.length)
  return Promise.all(
    clients.map(
      (client) =>
        new Promise((resolve, reject) => {
          let target = client.frames.messages
          let sent = 0
          const send = () => {
            if (sent++ === each) {
              client.onMessage = undefined
              return resolve()
            }
            target += replies
            client.socket.write(bytes)
          }
          client.onMessage = () => {
            if (client.frames.closed) return reject(new Error('closed in the middle of messages'))
            if (client.frames.messages >= target && client.frames.whole) send()
          }
          send()
        }),
    ),
  )
}

/** `count` plain GETs over kept connections, 32 at a time. */
export async function gets(ready, count) {
  const { bytes } = ready.requests[0]
  const wanted = `HTTP/1.1 ${ready.status} `
  const sockets = Array.from({ length: 32 }, () => net.connect({ port: ready.port, host: '127.0.0.1', noDelay: true }))
  let begun = 0
  await Promise.all(
    sockets.map(
      (socket) =>
        new Promise((resolve, reject) => {
          const next = () => (begun++ < count ? socket.write(bytes) : resolve())
          socket.on('error', reject)
          socket.on('data', (chunk) => {
            if (chunk.toString('latin1', 0, wanted.length) !== wanted)
              return reject(new Error(`expected ${ready.status}`))
            next()
          })
          next()
        }),
    ),
  )
  for (const socket of sockets) socket.destroy()
}
