type Jose = typeof import('jose')

let loading: Promise<Jose> | undefined

/** `jose`, loaded when the first token comes: an app without JWTs does not pay for it. */
export function jose(): Promise<Jose> {
  loading ??= import('jose').catch((error: unknown) => {
    loading = undefined
    throw error
  })
  return loading
}
