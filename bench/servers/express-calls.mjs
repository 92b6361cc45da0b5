// The same app called in process, as a light test tool does it: a request that came from nowhere, a response that goes nowhere.
import { createServer, IncomingMessage, ServerResponse } from 'node:http'
import { Duplex } from 'node:stream'
import { KEY } from '../api-key.mjs'
import { cpuOf } from '../cpu-of.mjs'
import { guarded } from './express-get.mjs'

const COUNT = 1000
const AT_ONCE = 16

class Nowhere extends Duplex {
  remoteAddress = '127.0.0.1'
  encrypted = false
  _read() {}
  _write(_chunk, _encoding, done) {
    done()
  }
}

const pairs = (n) => [
  ['Host', '127.0.0.1:8080'],
  ['Upgrade', 'websocket'],
  ['Connection', 'Upgrade'],
  ['Sec-WebSocket-Version', '13'],
  ['Sec-WebSocket-Key', 'Z2F0ZTEwMS1yZWNoZWNrIQ=='],
  ['X-Api-Key', KEY],
  ['Origin', 'http://127.0.0.1:8080'],
  ['Cookie', `sid=${n}`],
]

/** @returns a promise of the status */
function call(app, n) {
  const socket = new Nowhere()
  const req = new IncomingMessage(socket)
  req.method = 'GET'
  req.url = '/ws'
  req.httpVersion = '1.1'
  req.httpVersionMajor = 1
  req.httpVersionMinor = 1
  for (const [name, value] of pairs(n)) {
    req.rawHeaders.push(name, value)
    req.headers[name.toLowerCase()] = value
  }
  req.complete = true
  req.push(null)
  const res = new ServerResponse(req)
  res.assignSocket(socket)
  return new Promise((resolve) => {
    res.on('finish', () => {
      res.detachSocket(socket)
      socket.destroy()
      resolve(res.statusCode)
    })
    app(req, res)
  })
}

const app = guarded()
app.get('/ws', (_req, res) => res.end())

export const answers = {
  /** @returns microseconds of CPU for each call */
  'ask again': () =>
    cpuOf(COUNT, async () => {
      let begun = 0
      const caller = async () => {
        while (begun++ < COUNT) if ((await call(app, begun)) !== 200) throw new Error('the app has refused')
      }
      await Promise.all(Array.from({ length: AT_ONCE }, caller))
    }),
}

export default () => createServer(app)
