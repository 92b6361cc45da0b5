import { Gate101Error } from '../core/errors.ts'

/** @throws Gate101Error `GATE101_CONFIG` for what a gateway may not ask for here. */
export function gatewayPath(port: number, options: object): string {
  const wrong = (message: string): Gate101Error => new Gate101Error('GATE101_CONFIG', `@WebSocketGateway(): ${message}`)
  if (port !== 0) {
    throw wrong(`port ${port} is not the app's own server. Leave the port out: the gateway is a route of the app.`)
  }
  const { path = '/', ...others } = options as { path?: unknown }
  const [other] = Object.keys(others)
  if (other === 'cors') throw wrong('cors is for HTTP; which pages may connect is said by createGate({ origins }).')
  if (other !== undefined) throw wrong(`unknown option "${other}". Known with GateWsAdapter: path.`)
  if (typeof path !== 'string') throw wrong('path must be a string.')
  return path.startsWith('/') ? path : `/${path}`
}
