import type { GateState } from './state.ts'

export function timer({ clock }: GateState, ms: number): { passed: Promise<'passed'>; cancel: () => void } {
  let cancel: () => void = () => undefined
  const passed = new Promise<'passed'>((resolve) => {
    cancel = clock.after(ms, () => {
      resolve('passed')
    })
  })
  return { passed, cancel }
}
