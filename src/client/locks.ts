/** The Web Locks of the origin. */
interface Locks {
  request<T>(name: string, options: { signal: AbortSignal }, call: () => Promise<T>): Promise<T>
}

/** One tab of a browser at a time, where the browser can tell. */
export async function locked<T>(name: string, signal: AbortSignal, call: () => Promise<T>): Promise<T> {
  const { locks } = (globalThis as { navigator?: { locks?: Locks } }).navigator ?? {}
  return await (locks ? locks.request(`gate101 ${name}`, { signal }, call) : call())
}
