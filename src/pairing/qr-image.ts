import { LRUCache } from 'lru-cache'

/** Images of the codes that are on offer now; all readers of one share it. */
const images = new LRUCache<string, Promise<string>>({ max: 200, ttl: 120_000 })

/** A QR as a `data:image/png;base64,` URL. */
export function qrImageOf(value: string): Promise<string> {
  const known = images.get(value)
  if (known) return known
  const image = draw(value)
  images.set(value, image)
  return image
}

async function draw(value: string): Promise<string> {
  const { toDataURL } = (await import('qrcode')).default
  return toDataURL(value)
}
