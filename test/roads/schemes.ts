import { createServer } from 'node:http'
import { WebSocketServer } from 'ws'
import { createGate } from '../../src/index.ts'
import { apiKey, basic, bearer, hashPassword } from '../../src/schemes.ts'
import { API_KEY, GUARDED, USER, userOfBearer, type Stack } from '../conformance/stacks/shared.ts'

/** No app: the built-in schemes decide, and a `ws` server takes over. The same schemes guard plain HTTP. */
export const schemesStack: Stack = {
  name: 'schemes, no app',
  async build(roads) {
    const gate = createGate({
      ...roads,
      authenticate: [
        basic({ users: { [USER.name]: await hashPassword(USER.password) } }),
        bearer({
          verify: (token) => {
            const subject = userOfBearer(`Bearer ${token}`)
            return subject === undefined ? null : { subject }
          },
        }),
        apiKey({ keys: [{ key: API_KEY, subject: USER.id }] }),
      ],
    })
    const tickets = new Map(GUARDED.map((path) => [`${path}/ticket`, gate.ticket(path)]))
    const authenticate = gate.authenticate()
    const server = createServer((req, res) => {
      const ticket = tickets.get(req.url ?? '')
      if (ticket === undefined) void authenticate(req, res, () => res.writeHead(426).end())
      else ticket(req, res)
    })
    const handleProtocols = (offered: Set<string>): string | false => (offered.has('gate101') ? 'gate101' : false)
    new WebSocketServer({ server, handleProtocols }).on('connection', (socket) => {
      socket.send('open')
    })
    gate.attach(server)
    return { server, gate }
  },
}
