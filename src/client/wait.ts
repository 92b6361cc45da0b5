interface Page {
  readonly navigator?: { readonly onLine?: boolean }
  readonly document?: EventTarget & { readonly visibilityState: string }
  readonly addEventListener?: EventTarget['addEventListener']
}

/**
 * Waits so many milliseconds, and while the device says that it is offline. Where it may wake, it ends as soon as the
 * device is online again or the page is seen again. Ends when the signal aborts.
 */
export function wait(ms: number, canWake: boolean, stop: AbortSignal): Promise<void> {
  const page = globalThis as Page
  return new Promise((resolve) => {
    const over = new AbortController()
    let isDue = false
    const done = (): void => {
      clearTimeout(timer)
      over.abort()
      resolve()
    }
    const check = (): void => {
      const isAwake = isDue || (canWake && page.document?.visibilityState !== 'hidden')
      if (isAwake && page.navigator?.onLine !== false) done()
    }
    const timer = setTimeout(() => {
      isDue = true
      check()
    }, ms)
    const { signal } = over
    page.addEventListener?.('online', check, { signal })
    page.document?.addEventListener('visibilitychange', check, { signal })
    stop.addEventListener('abort', done, { signal })
    if (stop.aborted) done()
  })
}

/** The promise, or a rejection once the signal aborts. */
export function untilAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    promise.then(resolve, reject)
    signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true })
  })
}
