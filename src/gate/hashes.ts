/** Hashes are bytes, kept in texts of one byte a character: these travel as base64url. */
export const hashToText = (hash: string): string => Buffer.from(hash, 'latin1').toString('base64url')

export const textToHash = (text: string): string => Buffer.from(text, 'base64url').toString('latin1')
