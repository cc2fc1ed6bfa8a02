import { useQuery } from "@tanstack/react-query";
import { answer, api } from "../../api/client";
import { guessTask, type TrainTask } from "./guess";

const LOOKED_AT = 12;

/** The task that the first labelled pictures of a dataset speak for; undefined while they are being looked at. */
export function useTaskGuess(name: string): TrainTask | null | undefined {
  const guess = useQuery({
    queryKey: ["task-guess", name],
    queryFn: async () => {
      const list = (state: "labelled" | "proposed") =>
        answer(
          api.GET("/v1/datasets/{name}/items", { params: { path: { name }, query: { state, limit: LOOKED_AT } } }),
        );
      const labelled = await list("labelled");
      const { items } = labelled.items.length > 0 ? labelled : await list("proposed");
      const pictures = await Promise.all(
        items
          .filter(({ annotation_count }) => annotation_count > 0)
          .map(({ position }) =>
            answer(api.GET("/v1/datasets/{name}/items/{position}", { params: { path: { name, position } } })),
          ),
      );
      return guessTask(pictures.map(({ labels }) => labels.map(({ annotation }) => annotation)));
    },
  });
  return guess.isPending ? undefined : (guess.data ?? null);
}
