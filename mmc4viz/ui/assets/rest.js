// In place of the rest of a page: asks for it once the beginning is shown (first.js).

export default function ({ parentElement, setTriggerValue }) {
  const place = parentElement.querySelector("p");
  if (place.dataset.asked) return;
  place.dataset.asked = "yes";
  once(() => document.body.classList.contains("mmc-drawn"), () => setTriggerValue("shown", true), Infinity);
}
