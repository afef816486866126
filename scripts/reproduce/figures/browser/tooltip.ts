/** One hint for the whole page, beside what it is about; what it says is in the page for screen readers already. */
export class Tooltip {
  readonly #box: HTMLElement;

  constructor() {
    this.#box = document.createElement('div');
    this.#box.className = 'tooltip';
    this.#box.setAttribute('aria-hidden', 'true');
    this.#box.hidden = true;
    document.body.append(this.#box);
    addEventListener('scroll', () => this.hide(), { passive: true });
  }

  show(text: string, at: Element): void {
    this.#box.textContent = text;
    this.#box.hidden = false;
    const target = at.getBoundingClientRect();
    const own = this.#box.getBoundingClientRect();
    const left = Math.min(
      Math.max(4, target.left + target.width / 2 - own.width / 2),
      document.documentElement.clientWidth - own.width - 4,
    );
    const above = target.top - own.height - 8;
    this.#box.style.left = `${left}px`;
    this.#box.style.top = `${above >= 4 ? above : target.bottom + 8}px`;
  }

  hide(): void {
    this.#box.hidden = true;
  }
}

export const tooltip = new Tooltip();
