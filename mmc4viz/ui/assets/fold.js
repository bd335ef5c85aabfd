// Folds the sidebar when a page is opened in a narrow window; Streamlit does so on phones only.

let done = false;

export default function ({ data }) {
  if (done) return;
  done = true;
  if (window.innerWidth > data.widest) return;
  let tries = 60; // frames until the sidebar is there
  const fold = () => {
    const button = document.querySelector("[data-testid=stSidebarCollapseButton] button[aria-expanded=true]");
    if (button) button.click();
    else if (tries-- > 0) requestAnimationFrame(fold);
  };
  fold();
}
