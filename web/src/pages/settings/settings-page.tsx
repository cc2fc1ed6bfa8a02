import { useSession } from "../../api/hooks";
import { useMay } from "../../api/people";
import type { Session } from "../../api/types";
import { Frame } from "../../ui/frame";
import { Notice } from "../../ui/notice";
import { Page, PageHead } from "../../ui/page";
import { ApiKeysCard } from "./api-keys-card";
import { PasswordCard } from "./password-card";
import { UsersCard } from "./users-card";

/** What is one's own, and for admins who else may come in. */
export default function SettingsPage() {
  const session = useSession().data;
  const isAdmin = useMay("admin");
  if (!session) return null;
  return (
    <Frame title="Settings">
      <Page>
        <PageHead title="Settings" note={`${session.author} · ${session.role}`} />
        {session.entry === "link" ? (
          <ByLink session={session} />
        ) : (
          <>
            <PasswordCard />
            <ApiKeysCard />
          </>
        )}
        {isAdmin && <UsersCard />}
      </Page>
    </Frame>
  );
}

function ByLink({ session }: { session: Session }) {
  return (
    <Notice>
      You came in by the link that <code>sightline up</code> printed, as {session.author}. It makes you an admin, and
      has no password and no API keys{session.has_users ? ": sign in by name for these." : "."}
    </Notice>
  );
}
