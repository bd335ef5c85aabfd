// When a page is opened: folds the sidebar in a narrow window, where Streamlit does so on phones only,
// and shows the page once its parts have their sizes, so that nothing moves under the reader's eyes.

const LATEST = 8000; // milliseconds until the page is shown, whatever it waits for
const STILL = 6; // frames without a placeholder
let begun = false;

export default function ({ data }) {
  if (begun) return;
  begun = true;
  const { body } = document, narrow = window.innerWidth <= data.widest;
  const button = () => document.querySelector("[data-testid=stSidebarCollapseButton] button[aria-expanded=true]");
  const unfolded = () => document.querySelector("[data-testid=stSidebar]") && body.classList.add("mmc-folded");
  if (narrow) {
    once(button, () => button()?.click(), 1000);
    once(() => !button(), unfolded, 1500);
  }
  let still = 0;
  const settled = () => {
    const waiting = document.querySelector("[data-testid=stMain] [data-testid=stSkeleton]");
    still = waiting || !document.querySelector("[data-testid=stMain] h1") ? 0 : still + 1;
    return still > STILL;
  };
  once(settled, () => body.classList.add("mmc-drawn"), LATEST);
}
