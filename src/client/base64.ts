/** base64 of a text's UTF-8: `btoa` takes one byte a character. */
export function toBase64(text: string): string {
  return btoa(String.fromCharCode(...new TextEncoder().encode(text)))
}
