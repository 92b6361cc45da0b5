export { createWebSocketClass, dial } from './client/dial-node.ts'
export {
  DialError,
  type DialAdvice,
  type DialErrorCode,
  type DialHeaders,
  type DialPhase,
} from './client/dial-error.ts'
export type { WebSocketClass, WebSocketClassOptions } from './client/dial.ts'
export type {
  DialAuthEvent,
  DialCloseEvent,
  DialErrorEvent,
  DialEventMap,
  DialMessageEvent,
  DialReconnectingEvent,
} from './client/events.ts'
export type { DialData } from './client/link.ts'
export type {
  DialCredentials,
  DialCredentialsCallback,
  DialOptions,
  DialReason,
  DialReconnect,
  DialRequestHeaders,
  DialRoad,
  DialRoute,
  DialWhy,
} from './client/request.ts'
export type { DialSocket } from './client/socket.ts'
