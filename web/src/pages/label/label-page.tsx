/** The editor of one picture's labels. */
export default function LabelPage() {
  return <p>The editor comes here.</p>;
}
