import type { Server } from 'node:http'
import jsonwebtoken from 'jsonwebtoken'
import type { Gate } from '../../../src/index.ts'

/** One framework with the middlewares that apps really use, and the same routes in all of them. */
export interface Stack {
  readonly name: string
  build(): Promise<BuiltStack>
}

export interface BuiltStack {
  readonly server: Server
  readonly gate: Pick<Gate, 'on' | 'connections'>
  /** Log lines that the framework's request logger has written, one for each request. */
  readonly log?: readonly string[]
  readonly close?: () => Promise<unknown>
}

export const USER = { id: 'alice', name: 'alice', password: 'correct horse' } as const
export const API_KEY = 'test_api_key'
export const SIGNING_KEY = 'a signing key that is only for tests, and 32 bytes long at least'
export const COOKIE_KEY = 'a cookie key that is only for tests, and 32 bytes long at least'
export const ALLOWED_ORIGIN = 'http://localhost'

export const LONG_REFUSAL = 'You may not. '.repeat(1000)

/** Whether these are the name and password of the one user. */
export function isUser(name: unknown, password: unknown): boolean {
  return name === USER.name && password === USER.password
}

export function basicOf(name: string, password: string): string {
  return `Basic ${Buffer.from(`${name}:${password}`).toString('base64')}`
}

/** Reads a Basic header as small apps do it by hand. */
export function userOfBasic(header: string | undefined): string | undefined {
  const encoded = /^Basic ([A-Za-z0-9+/=]+)$/.exec(header ?? '')?.[1]
  if (encoded === undefined) return undefined
  const [name, ...password] = Buffer.from(encoded, 'base64').toString().split(':')
  return isUser(name, password.join(':')) ? USER.id : undefined
}

export function userOfBearer(header: string | undefined): string | undefined {
  const token = /^Bearer (\S+)$/.exec(header ?? '')?.[1]
  if (token === undefined) return undefined
  try {
    return jsonwebtoken.verify(token, SIGNING_KEY, { algorithms: ['HS256'] }).sub as string
  } catch {
    return undefined
  }
}

export const TOKENS = {
  good: jsonwebtoken.sign({ sub: USER.id }, SIGNING_KEY, { algorithm: 'HS256', expiresIn: '1h' }),
  expired: jsonwebtoken.sign({ sub: USER.id, exp: 1000 }, SIGNING_KEY, { algorithm: 'HS256' }),
  forged: jsonwebtoken.sign({ sub: USER.id }, 'another signing key of somebody else, 32 bytes', { algorithm: 'HS256' }),
  unsigned: jsonwebtoken.sign({ sub: USER.id }, '', { algorithm: 'none' }),
} as const

/** Paths of the routes of every stack, and some that no stack has. */
export const PATHS = [
  /** A login session. */
  '/ws',
  '/basic',
  '/bearer',
  '/key',
  /** No guard at all. */
  '/open',
  /** A login session, else a redirect to the login page. */
  '/redirect',
  /** A login session; sets cookies. */
  '/cookies',
  /** A key, behind a rate limit. */
  '/limited',
  /** Always 403, with a long body. */
  '/long',
  /** An ordinary page. */
  '/page',
  '/rooms/7/ws',
  '/rooms/%C3%A9/ws',
  '/missing',
  '/ws/missing',
] as const
