import { createCipheriv, createDecipheriv, randomBytes, type KeyObject } from 'node:crypto'

const VERSION = 1
const NONCE = 12
const TAG = 16

/** AES-256-GCM: version, nonce, ciphertext, tag. What is sealed under one `id` does not open under another. */
export function seal(key: KeyObject, id: string, text: string): Uint8Array {
  const nonce = randomBytes(NONCE)
  const plain = Buffer.from(text, 'utf8')
  try {
    const cipher = createCipheriv('aes-256-gcm', key, nonce, { authTagLength: TAG }).setAAD(bound(id))
    return Buffer.concat([Uint8Array.of(VERSION), nonce, cipher.update(plain), cipher.final(), cipher.getAuthTag()])
  } finally {
    plain.fill(0)
  }
}

/** @returns undefined for anything but what {@link seal} has made with the same key and id. */
export function unseal(key: KeyObject, id: string, sealed: unknown): string | undefined {
  if (!(sealed instanceof Uint8Array) || sealed.length <= 1 + NONCE + TAG || sealed[0] !== VERSION) return undefined
  const nonce = sealed.subarray(1, 1 + NONCE)
  const body = sealed.subarray(1 + NONCE, -TAG)
  try {
    const cipher = createDecipheriv('aes-256-gcm', key, nonce, { authTagLength: TAG }).setAAD(bound(id))
    cipher.setAuthTag(sealed.subarray(-TAG))
    const plain = Buffer.concat([cipher.update(body), cipher.final()])
    const text = plain.toString('utf8')
    plain.fill(0)
    return text
  } catch {
    return undefined
  }
}

function bound(id: string): Buffer {
  return Buffer.concat([Uint8Array.of(VERSION), Buffer.from(id, 'utf8')])
}
