// A button that copies the address of the page, which holds all settings.

const SAID = 1600; // milliseconds for which the button says that the link was copied

export default function ({ parentElement }) {
  const button = parentElement.querySelector("button");
  button.onclick = async () => {
    const done = await navigator.clipboard?.writeText(location.href).then(() => true, () => false);
    button.textContent = done ? "Copied" : "Copy the address of this page";
    setTimeout(() => { button.textContent = "Copy link"; }, SAID);
  };
}
