import type { Size } from "../geometry/points";

/** Reports an element's size in CSS pixels and the device pixels per CSS pixel, now and whenever one changes. Returns what ends it. */
export function watchSize(element: Element, report: (size: Size, ratio: number) => void): () => void {
  let resolution: MediaQueryList | null = null;
  const measure = () => {
    report({ width: element.clientWidth, height: element.clientHeight }, window.devicePixelRatio);
    // A window that is moved to another screen changes the ratio alone; a query speaks of one ratio, so each has its own.
    resolution?.removeEventListener("change", measure);
    resolution = window.matchMedia(`(resolution: ${window.devicePixelRatio}dppx)`);
    resolution.addEventListener("change", measure);
  };
  const observer = new ResizeObserver(measure);
  observer.observe(element);
  return () => {
    observer.disconnect();
    resolution?.removeEventListener("change", measure);
  };
}
