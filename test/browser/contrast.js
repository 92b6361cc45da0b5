// Runs in the page.
/** The least contrast (WCAG 2.2, 1.4.3) of an element with text of its own. */
export function contrast() {
  const channels = (color) => (color.match(/[\d.]+/g) ?? []).map(Number)
  const luminance = (color) => {
    const [r = 0, g = 0, b = 0] = channels(color).map((c) => {
      const part = c / 255
      return part <= 0.040_45 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4
    })
    return 0.2126 * r + 0.7152 * g + 0.0722 * b
  }
  const groundOf = (element) => {
    for (let at = element; at !== null; at = at.parentElement) {
      const color = getComputedStyle(at).backgroundColor
      if (channels(color)[3] !== 0) return color
    }
    return 'rgb(255, 255, 255)'
  }
  let least = { ratio: 21, text: '' }
  for (const element of document.querySelectorAll('body *')) {
    const text = [...element.childNodes]
      .filter((node) => node.nodeType === Node.TEXT_NODE)
      .map((node) => node.nodeValue)
    if (text.join('').trim() === '' || element.getClientRects().length === 0) continue
    const levels = [getComputedStyle(element).color, groundOf(element)].map(luminance).toSorted((a, b) => b - a)
    const ratio = ((levels[0] ?? 0) + 0.05) / ((levels[1] ?? 0) + 0.05)
    if (ratio < least.ratio) least = { ratio, text: text.join('').trim() }
  }
  return { least, wide: document.documentElement.scrollWidth > document.documentElement.clientWidth }
}
