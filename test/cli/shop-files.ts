import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { seededRandom } from '../helpers.ts';

/** orders.csv and catalogue.csv of a made-up shop: customers of four tastes; what belongs to a taste is a category. */
export function writeShop(folder: string): void {
  const random = seededRandom(7);
  const below = (count: number) => Math.floor(random() * count);
  const categories = ['lamp', 'desk', 'chair', 'rug'];
  const catalogue = Array.from({ length: 200 }, (_, i) => {
    const brand = ['Nord', 'Süd', '"Acme, Inc."', 'West'][below(4)];
    return `SKU-${i},${brand},${categories[i % 4]},${['red', 'soft', 'red|soft'][below(3)]},${10 + below(90)}`;
  });
  writeFileSync(join(folder, 'catalogue.csv'), `\ufeffsku,brand,category,tags,price\r\n${catalogue.join('\r\n')}\r\n`);
  const orders = Array.from({ length: 9000 }, (_, i) => {
    const customer = below(300);
    const item = random() < 0.9 ? 4 * Math.floor(50 * random() ** 2) + (customer % 4) : below(200);
    return `C-${1000 + customer};SKU-${item};2024-${String(1 + Math.floor(i / 750)).padStart(2, '0')}-15 12:00:00`;
  });
  writeFileSync(join(folder, 'orders.csv'), `customer;sku;ts\n${orders.join('\n')}\n`);
}
