export { dial } from './client/dial-node.ts'
export { DialError, type DialAdvice, type DialErrorCode, type DialHeaders } from './client/dial-error.ts'
export type { DialOptions, DialRequestHeaders } from './client/request.ts'
